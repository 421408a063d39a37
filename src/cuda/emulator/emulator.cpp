// The kernels as a shared library: see `emulator.h`.
#include "../kernels/all.cu"
