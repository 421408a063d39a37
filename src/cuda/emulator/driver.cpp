// NVIDIA's driver without a card: the functions of `libcuda.so` that the program uses, over the emulated kernels.
//
// `emulator.h` shows what kernels compute, this what the program asks the driver for: streams, events, page-locked memory,
// copies. Each stream is a queue, and FAKE_CUDA says when what is queued happens: at once (the default), when something
// waits for it ("late"), or now and then ("random"). A copy or a kernel that does not wait for what it needs meets memory
// that is not filled yet, is filled with something else already, or has been given back, which is overwritten. Copies beyond
// page-locked memory or memory of the card, calls of threads without a context and waits for ever end the program.
//
// Build as `libcuda.so` and put its folder into LD_LIBRARY_PATH: see `./x test-cuda`.
#include "emulator.cpp"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <random>

namespace {

typedef unsigned long long Address;

struct Stream;

// One recording of an event.
struct Mark {
  Stream* stream;
  bool reached = false;
};
typedef std::shared_ptr<Mark> MarkPointer;

// What happens, and what it waits for or marks.
struct Step {
  std::function<void()> run;
  MarkPointer wait, mark;
};

struct Stream {
  std::deque<Step> steps;
};

struct Event {
  MarkPointer last;
};

enum { SUCCESS = 0, NO_CONTEXT = 201, NO_KERNEL = 500, NOT_READY = 600 };

std::recursive_mutex everything;
std::vector<Stream*> streams;
std::map<Address, size_t> on_card;
std::map<Address, size_t> page_locked;
std::mt19937 chance(1);
thread_local void* context;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "driver without a card: %s\n", what);
  std::abort();
}

void reach(const MarkPointer& mark);

// Takes the next step of a stream; if it waits for something, makes that happen first or, if it must not, does nothing.
bool take_step(Stream* stream, bool must) {
  if (stream->steps.empty()) return false;
  const Step step = stream->steps.front();
  if (step.wait && !step.wait->reached) {
    if (!must) return false;
    reach(step.wait);
  }
  stream->steps.pop_front();
  if (step.run) step.run();
  if (step.mark) step.mark->reached = true;
  return true;
}

void reach(const MarkPointer& mark) {
  while (mark && !mark->reached) require(take_step(mark->stream, true), "a wait for ever");
}

void finish(Stream* stream) {
  while (take_step(stream, true)) {
  }
}

int add(void* to, Step step) {
  static const char* const wanted = std::getenv("FAKE_CUDA");
  static const std::string when = wanted ? wanted : "";
  Stream* const stream = static_cast<Stream*>(to);
  stream->steps.push_back(std::move(step));
  if (when == "random") {
    for (unsigned count = chance() % 4; count > 0; count--) take_step(streams[chance() % streams.size()], false);
  } else if (when != "late") {
    finish(stream);
  }
  return SUCCESS;
}

bool within(const std::map<Address, size_t>& all, Address begin, size_t size) {
  const auto behind = all.upper_bound(begin);
  if (behind == all.begin()) return false;
  const auto own = std::prev(behind);
  return begin + size <= own->first + own->second;
}

int copy(Address to, Address from, size_t size, void* stream) {
  return add(stream, {[=] { std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), size); }, nullptr, nullptr});
}

Address address(const void* pointer) { return reinterpret_cast<Address>(pointer); }

// What every function that works does first.
#define BEGIN                                                        \
  if (context == nullptr) return NO_CONTEXT;                         \
  const std::lock_guard<std::recursive_mutex> alone(everything)

}  // namespace

extern "C" {

int cuInit(unsigned) { return SUCCESS; }
int cuDeviceGetCount(int* count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int* device, int number) { return *device = number, SUCCESS; }
int cuDeviceGetName(char* name, int size, int) { return std::snprintf(name, size_t(size), "no card at all"), SUCCESS; }
int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = size_t(8) << 30, SUCCESS; }
int cuDevicePrimaryCtxRetain(void** own, int) { return *own = &streams, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void* own) { return context = own, SUCCESS; }
int cuCtxGetCurrent(void** own) { return *own = context, SUCCESS; }
int cuMemGetInfo_v2(size_t* unused, size_t* all) { return *all = 2 * (*unused = size_t(4) << 30), SUCCESS; }
int cuGetErrorString(int, const char** text) { return *text = "refused by the driver without a card", SUCCESS; }
int cuGetErrorName(int, const char** text) { return *text = "refused", SUCCESS; }

// Compute capability 9.0, with memory that belongs to streams.
int cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == 75 ? 9 : attribute == 115 ? 1 : 0;
  return SUCCESS;
}

int cuModuleLoadData(void** module, const void*) { return *module = &streams, SUCCESS; }
int cuModuleUnload(void*) { return SUCCESS; }

int cuModuleGetFunction(void** function, void*, const char* name) {
  const auto found = emulator::kernels().find(name);
  if (found == emulator::kernels().end()) return NO_KERNEL;
  *function = const_cast<char*>(found->first.c_str());
  return SUCCESS;
}

int cuFuncSetAttribute(void*, int, int) { return SUCCESS; }

int cuStreamCreate(void** stream, unsigned) {
  BEGIN;
  streams.push_back(new Stream());
  *stream = streams.back();
  return SUCCESS;
}

int cuStreamDestroy_v2(void* stream) {
  BEGIN;
  finish(static_cast<Stream*>(stream));
  return SUCCESS;
}

int cuStreamSynchronize(void* stream) {
  BEGIN;
  finish(static_cast<Stream*>(stream));
  return SUCCESS;
}

int cuCtxSynchronize() {
  BEGIN;
  for (Stream* const stream : streams) finish(stream);
  return SUCCESS;
}

int cuStreamWaitEvent(void* stream, void* event, unsigned) {
  BEGIN;
  const MarkPointer mark = static_cast<Event*>(event)->last;
  return mark ? add(stream, {nullptr, mark, nullptr}) : SUCCESS;
}

int cuEventCreate(void** event, unsigned) { return *event = new Event(), SUCCESS; }
int cuEventDestroy_v2(void* event) { return delete static_cast<Event*>(event), SUCCESS; }
int cuEventElapsedTime(float* ms, void*, void*) { return *ms = 1, SUCCESS; }
int cuEventElapsedTime_v2(float* ms, void*, void*) { return *ms = 1, SUCCESS; }

int cuEventRecord(void* event, void* stream) {
  BEGIN;
  const MarkPointer mark = std::make_shared<Mark>();
  mark->stream = static_cast<Stream*>(stream);
  static_cast<Event*>(event)->last = mark;
  return add(stream, {nullptr, nullptr, mark});
}

int cuEventQuery(void* event) {
  BEGIN;
  const MarkPointer mark = static_cast<Event*>(event)->last;
  return !mark || mark->reached ? SUCCESS : NOT_READY;
}

int cuEventSynchronize(void* event) {
  BEGIN;
  reach(static_cast<Event*>(event)->last);
  return SUCCESS;
}

int cuMemAllocAsync(Address* memory, size_t bytes, void*) {
  BEGIN;
  void* const own = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  require(own != nullptr, "no memory left");
  std::memset(own, 0xab, bytes);
  on_card[*memory = address(own)] = bytes;
  return SUCCESS;
}

int cuMemFreeAsync(Address memory, void* stream) {
  BEGIN;
  const auto own = on_card.find(memory);
  require(own != on_card.end(), "memory given back that is not taken");
  const size_t bytes = own->second;
  on_card.erase(own);
  const auto give_back = [=] {
    std::memset(reinterpret_cast<void*>(memory), 0xee, bytes);
    std::free(reinterpret_cast<void*>(memory));
  };
  return add(stream, {give_back, nullptr, nullptr});
}

int cuMemHostAlloc(void** memory, size_t bytes, unsigned) {
  BEGIN;
  *memory = std::malloc(bytes);
  require(*memory != nullptr, "no memory left");
  std::memset(*memory, 0xcd, bytes);
  page_locked[address(*memory)] = bytes;
  return SUCCESS;
}

int cuMemFreeHost(void* memory) {
  BEGIN;
  const auto own = page_locked.find(address(memory));
  require(own != page_locked.end(), "page-locked memory given back that is not taken");
  std::memset(memory, 0xdd, own->second);
  page_locked.erase(own);
  std::free(memory);
  return SUCCESS;
}

int cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, void* stream) {
  BEGIN;
  require(within(page_locked, address(from), bytes) && within(on_card, to, bytes), "a copy up from or to where nothing is");
  return copy(to, address(from), bytes, stream);
}

int cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, void* stream) {
  BEGIN;
  require(within(page_locked, address(to), bytes) && within(on_card, from, bytes), "a copy down from or to where nothing is");
  return copy(address(to), from, bytes, stream);
}

int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, void* stream) {
  BEGIN;
  require(within(on_card, to, bytes) && within(on_card, from, bytes), "a copy on the card from or to where nothing is");
  return copy(to, from, bytes, stream);
}

int cuMemsetD8Async(Address memory, unsigned char value, size_t bytes, void* stream) {
  BEGIN;
  require(within(on_card, memory, bytes), "filling of memory that is not there");
  return add(stream, {[=] { std::memset(reinterpret_cast<void*>(memory), value, bytes); }, nullptr, nullptr});
}

int cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned, unsigned, unsigned shared,
                   void* stream, void** arguments, void**) {
  BEGIN;
  const std::string name = static_cast<const char*>(function);
  const size_t bytes = parameter_size(name.c_str());
  const unsigned char* const first = static_cast<const unsigned char*>(arguments[0]);
  const auto parameters = std::make_shared<std::vector<unsigned char>>(first, first + bytes);
  const auto run = [=] { require(emulate(name.c_str(), x, y, z, threads, shared, parameters->data()) == 0, "a kernel that hangs"); };
  return add(stream, {run, nullptr, nullptr});
}

}  // extern "C"
