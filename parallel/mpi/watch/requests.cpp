// Requests: beginning, waiting, asking. Waiting says for which operations; the board knows them since they were begun.
#include <vector>

#include "parallel/mpi/watch/journal.hpp"

using namespace tandem::watch;

namespace {

// A completed request's handle becomes MPI_REQUEST_NULL, so what was waited for is kept here; and the statuses that we want
// although the caller does not.
class Several {
 public:
  Several(int n, const MPI_Request* requests, MPI_Status* wanted) : requests_(requests, requests + n) {
    if (wanted != MPI_STATUSES_IGNORE) {
      statuses_ = wanted;
    } else {
      own_.resize(static_cast<std::size_t>(n) + 1);
      statuses_ = own_.data();
    }
  }
  std::span<const MPI_Request> requests() const { return requests_; }
  MPI_Status* statuses() { return statuses_; }
  void complete(int index, const MPI_Status& status) { completed(key_of(requests_[static_cast<std::size_t>(index)]), status); }
  void complete_all() {
    for (int i = 0; i < static_cast<int>(requests_.size()); ++i)
      if (requests_[static_cast<std::size_t>(i)] != MPI_REQUEST_NULL) complete(i, statuses_[i]);
  }
  void complete_some(int n, const int* indices) {
    for (int i = 0; i < n; ++i) complete(indices[i], statuses_[i]);
  }

 private:
  std::vector<MPI_Request> requests_;
  std::vector<MPI_Status> own_;
  MPI_Status* statuses_;
};

}  // namespace

extern "C" {

int MPI_Start(MPI_Request* request) {
  start(key_of(*request));
  return TANDEM_NEXT(MPI_Start)(request);
}

int MPI_Startall(int n, MPI_Request* requests) {
  for (int i = 0; i < n; ++i) start(key_of(requests[i]));
  return TANDEM_NEXT(MPI_Startall)(n, requests);
}

int MPI_Request_free(MPI_Request* request) {
  forget(key_of(*request));
  return TANDEM_NEXT(MPI_Request_free)(request);
}

int MPI_Cancel(MPI_Request* request) {
  if (Page* const mine = page()) mine->unsure = true;  // if it succeeds, the counts no longer tell what is under way
  return TANDEM_NEXT(MPI_Cancel)(request);
}

int MPI_Wait(MPI_Request* request, MPI_Status* wanted) {
  const MPI_Request before = *request;
  MPI_Status own, *const status = wanted == MPI_STATUS_IGNORE ? &own : wanted;
  const Blocked in("MPI_Wait", true, {&before, 1});
  const int code = TANDEM_NEXT(MPI_Wait)(request, status);
  if (before != MPI_REQUEST_NULL) completed(key_of(before), *status);
  return code;
}

int MPI_Waitall(int n, MPI_Request* requests, MPI_Status* wanted) {
  Several several(n, requests, wanted);
  const Blocked in("MPI_Waitall", true, several.requests());
  const int code = TANDEM_NEXT(MPI_Waitall)(n, requests, several.statuses());
  several.complete_all();
  return code;
}

int MPI_Waitany(int n, MPI_Request* requests, int* index, MPI_Status* wanted) {
  Several several(n, requests, MPI_STATUSES_IGNORE);
  MPI_Status* const status = wanted == MPI_STATUS_IGNORE ? several.statuses() : wanted;
  const Blocked in("MPI_Waitany", false, several.requests());
  const int code = TANDEM_NEXT(MPI_Waitany)(n, requests, index, status);
  if (*index != MPI_UNDEFINED) several.complete(*index, *status);
  return code;
}

int MPI_Waitsome(int n, MPI_Request* requests, int* done, int* indices, MPI_Status* wanted) {
  Several several(n, requests, wanted);
  const Blocked in("MPI_Waitsome", false, several.requests());
  const int code = TANDEM_NEXT(MPI_Waitsome)(n, requests, done, indices, several.statuses());
  if (*done != MPI_UNDEFINED) several.complete_some(*done, indices);
  return code;
}

int MPI_Test(MPI_Request* request, int* flag, MPI_Status* wanted) {
  const MPI_Request before = *request;
  MPI_Status own, *const status = wanted == MPI_STATUS_IGNORE ? &own : wanted;
  const int code = TANDEM_NEXT(MPI_Test)(request, flag, status);
  if (!*flag)
    asked_in_vain("MPI_Test", false, {&before, 1});
  else if (before != MPI_REQUEST_NULL)
    completed(key_of(before), *status);
  return code;
}

int MPI_Testall(int n, MPI_Request* requests, int* flag, MPI_Status* wanted) {
  Several several(n, requests, wanted);
  const int code = TANDEM_NEXT(MPI_Testall)(n, requests, flag, several.statuses());
  if (*flag)
    several.complete_all();
  else
    asked_in_vain("MPI_Testall", true, several.requests());
  return code;
}

int MPI_Testany(int n, MPI_Request* requests, int* index, int* flag, MPI_Status* wanted) {
  Several several(n, requests, MPI_STATUSES_IGNORE);
  MPI_Status* const status = wanted == MPI_STATUS_IGNORE ? several.statuses() : wanted;
  const int code = TANDEM_NEXT(MPI_Testany)(n, requests, index, flag, status);
  if (!*flag)
    asked_in_vain("MPI_Testany", false, several.requests());
  else if (*index != MPI_UNDEFINED)
    several.complete(*index, *status);
  return code;
}

int MPI_Testsome(int n, MPI_Request* requests, int* done, int* indices, MPI_Status* wanted) {
  Several several(n, requests, wanted);
  const int code = TANDEM_NEXT(MPI_Testsome)(n, requests, done, indices, several.statuses());
  if (*done == 0)
    asked_in_vain("MPI_Testsome", false, several.requests());
  else if (*done != MPI_UNDEFINED)
    several.complete_some(*done, indices);
  return code;
}

}  // extern "C"
