// Every kernel, compiled as one module.
#include "painting.cu"
#include "loss.cu"
#include "vectors.cu"
#include "steady.cu"
#include "octaves.cu"
#include "flow.cu"
#include "refine.cu"
