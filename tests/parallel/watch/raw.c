/* MPI in C, without a line of Tandem: watch_test.py compiles it with mpicc. Each rank waits for a value of its left neighbour, and
   sends its own to the right one only then. */
#include <mpi.h>
#include <stdio.h>
#include <time.h>

double pass_on(double mine, int rank, int ranks) {
  double theirs = 0;
  MPI_Recv(&theirs, 1, MPI_DOUBLE, (rank + ranks - 1) % ranks, 42, MPI_COMM_WORLD, MPI_STATUS_IGNORE); /* waits: raw */
  MPI_Send(&mine, 1, MPI_DOUBLE, (rank + 1) % ranks, 42, MPI_COMM_WORLD);
  return theirs;
}

int main(int argc, char** argv) {
  int rank, ranks;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (rank == 0) printf("%ld\n", (long)time(NULL)), fflush(stdout);
  double sum = pass_on(rank, rank, ranks);
  if (rank == 0) printf("%f\n", sum);
  MPI_Finalize();
  return 0;
}
