# shellcheck shell=bash
# tandem data: public data sets, checked, unpacked, and put into place by one rename.

# Name, size, licence, what it is and where it comes from.
datasets() { cat <<'TABLE'
eurosat        90 MB  MIT         27,000 Sentinel-2 tiles of ten land uses (huggingface.co/datasets/torchgeo/eurosat)
fashion-mnist  31 MB  MIT         70,000 small pictures of clothes (Debian package dataset-fashion-mnist)
landsat        1 MB   Apache-2.0  a Landsat-7 scene of six bands (Debian package r-cran-stars)
TABLE
}
eurosat_zip=${TANDEM_EUROSAT_URL:-https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip}
eurosat_md5=${TANDEM_EUROSAT_MD5:-c8fa014336c82ac7804f0398fcb19387}

#? data [NAME]
#?   Fetches a data set and prints where it lies, or lists what there is.
#?   They live in $TANDEM_DATA, by default ~/.local/share/tandem. An interrupted download goes on where it stopped.
#?     tandem data eurosat
#?     tandem run -n 2 classify --data "$(tandem data eurosat)"
do_data() {
  exit_on_help "$@"
  local name=${1:-} line
  if [[ -z $name ]]; then
    while read -r line; do
      if [[ -d $data_home/${line%% *} ]]; then echo "here  $line"; else echo "-     $line"; fi
    done < <(datasets)
    echo "here = in $data_home; the others come with  tandem data NAME"
    return
  fi
  datasets | grep -q "^$name " || misuse "no data set '$name'; there are: $(datasets | cut -d' ' -f1 | paste -sd' ')"

  # All work happens in a folder beside the final one, under a lock; the last step is a rename.
  { mkdir -p "$data_home" && : >"$data_home/.lock"; } 2>/dev/null || fail "cannot write to $data_home; set TANDEM_DATA to another folder"
  exec 9<"$data_home/.lock"
  flock 9
  if [[ -d $data_home/$name ]]; then
    say "$name is here already"
  else
    new=$data_home/.$name.new
    trap 'rm -rf "$new"' EXIT
    rm -rf "$new" && mkdir "$new" || no_room "$new"
    case $name in
      eurosat) fetch_eurosat ;;
      fashion-mnist) fetch_package dataset-fashion-mnist usr/share/datasets/fashion-mnist ;;
      landsat) fetch_package r-cran-stars usr/lib/R/site-library/stars/tif ;;
    esac
    mv -T "$new/$name" "$data_home/$name"
  fi
  echo "$data_home/$name"
}

no_room() { fail "cannot write $1: $(free_disk "$data_home") MB are free in $data_home"; }
md5() { md5sum <"$1" | cut -d' ' -f1; }
size() { stat -c %s "$1" 2>/dev/null || echo 0; }

fetch_eurosat() {
  { have curl && have unzip; } || fail "curl and unzip are missing; run:  tandem setup"
  local zip=$data_home/.eurosat.zip found unsafe
  download "$eurosat_zip" "$zip" "$eurosat_md5"
  found=$(md5 "$zip")
  [[ $found == "$eurosat_md5" ]] || { rm "$zip"; fail "$eurosat_zip has md5 $found, expected $eurosat_md5; removed it"; }
  # No name may lead out of the folder: neither absolute, nor by "..", nor through a link.
  unsafe=$(unzip -Z1 "$zip" | grep -E '^/|(^|/)\.\.(/|$)|[\]' || unzip -Z "$zip" | grep '^l' || true)
  [[ -z $unsafe ]] || { rm "$zip"; fail "$eurosat_zip holds an unsafe name, ${unsafe%%$'\n'*}; removed it"; }
  unzip -q "$zip" -d "$new/eurosat" </dev/null >/dev/null 2>&1 || { rm "$zip"; no_room "what is in $eurosat_zip"; }
  rm "$zip"
}

# download ADDRESS FILE MD5: appends to what an earlier attempt left, and goes on as long as bytes arrive.
download() {
  local before answer code meter=-s
  if [[ -t 2 ]]; then meter=--progress-bar; fi
  while [[ ! -f $2 || $(md5 "$2") != "$3" ]]; do
    before=$(size "$2") code=0
    say "fetching $1$( ((before)) && echo ", from byte $before" || true)"
    answer=$(curl "$meter" -fL -C - -o "$2" --connect-timeout 30 --speed-time 60 --speed-limit 1 \
                  -w '%{http_code} %{errormsg}' "$1") || code=$?
    case $code:${answer%% *} in
      *:416 | 33:*) rm -f "$2"; ((before)) && continue ;;   # nothing to append to, says the server: start again
      0:*) return ;;
      23:*) rm -f "$2"; no_room "$2" ;;
    esac
    (($(size "$2") > before)) && sleep 1 && continue        # the line broke
    if (($(size "$2"))); then say "the first $(size "$2") bytes are kept; the same command goes on from there"; else rm -f "$2"; fi
    fail "cannot fetch $1: ${answer#* }"
  done
}

# fetch_package NAME FOLDER: one folder out of a Debian package, without installing it or what it depends on.
fetch_package() {
  if [[ -d /$2 ]]; then cp -rT "/$2" "$new/$name" || no_room "$name"; return; fi
  { have apt-get && have dpkg-deb; } || fail "$name comes from the Debian package $1, and this system is no Debian"
  (cd "$new" && apt-get download -qq -o APT::Sandbox::User=root "$1" >&2) || fail "cannot fetch the Debian package $1; try:  sudo apt-get update"
  { dpkg-deb -x "$new"/*.deb "$new/package" && mv -T "$new/package/$2" "$new/$name"; } || no_room "what is in $1"
}
