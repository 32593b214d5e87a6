// Runs an ExecuTorch program that classifies token ids, behind a C interface that Python's ctypes can call.
//
// Built on demand by build.py from the headers and shared libraries of the installed executorch wheel. A program has
// two inputs, input_ids and attention_mask, int64 (1, length), and one or more float32 outputs whose first dimension
// is 1. One model may be called from several threads: its runs take turns.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/extension/threadpool/threadpool_guard.h>
#include <executorch/runtime/platform/platform.h>

// The wheel carries the thread pool's library, but not the header that declares it.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t threads);
};
ThreadPool* get_threadpool();
} // namespace executorch::extension::threadpool

namespace {

using executorch::aten::ScalarType;
using executorch::extension::from_blob;
using executorch::extension::Module;
using executorch::extension::threadpool::get_threadpool;
using executorch::extension::threadpool::NoThreadPoolGuard;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::MethodMeta;
using executorch::runtime::PalImpl;
using executorch::runtime::Program;
using executorch::runtime::TensorInfo;

// What ExecuTorch said first of a failure on this thread: its error codes alone don't tell what is wrong, and what it
// says later is where else the failure was noticed.
thread_local std::string first_words;

void keep_first_words(
    et_timestamp_t,
    et_pal_log_level_t level,
    const char*,
    const char*,
    size_t,
    const char* message,
    size_t length) {
  if (first_words.empty() && (level == kError || level == kFatal)) {
    first_words.assign(message, length);
  }
}

// All threads of a process share one pool, and a loaded program keeps a pointer to it: it can't change under one.
std::mutex pool_mutex;
int programs_on_pool = 0;

void tell(char* why, size_t capacity, const std::string& reason) {
  if (capacity > 0) {
    const size_t length = std::min(reason.size(), capacity - 1);
    std::memcpy(why, reason.data(), length);
    why[length] = '\0';
  }
}

std::string reason_of(Error error) {
  const std::string code = executorch::runtime::to_string(error);
  return first_words.empty() ? code : first_words + " (" + code + ")";
}

// Keeps the calling thread off the pool for as long as it lives, if asked to.
class Alone {
 public:
  explicit Alone(bool alone) : guard_(alone ? std::make_unique<NoThreadPoolGuard>() : nullptr) {}

 private:
  std::unique_ptr<NoThreadPoolGuard> guard_;
};

class Model {
 public:
  Model(const char* path, uint32_t threads)
      : module_(path, Module::LoadMode::Mmap), threads_(threads) {}

  ~Model() {
    module_.unload_forward();
    if (on_pool_) {
      const std::lock_guard<std::mutex> lock(pool_mutex);
      --programs_on_pool;
    }
  }

  // Why the program can't be loaded; empty if it was.
  std::string load() {
    first_words.clear();
    if (threads_ > 1) {
      const std::string reason = join_pool();
      if (!reason.empty()) {
        return reason;
      }
    }
    const Alone alone(threads_ == 1);
    Error error = module_.load(Program::Verification::InternalConsistency);
    if (error == Error::Ok) {
      error = module_.load_forward();
    }
    return error == Error::Ok ? check() : reason_of(error);
  }

  int32_t tensor(bool output, size_t index, int64_t* sizes, int32_t capacity, int32_t* type) {
    const auto meta = module_.method_meta("forward");
    if (!meta.ok() || index >= (output ? meta->num_outputs() : meta->num_inputs())) {
      return -1;
    }
    const auto info = output ? meta->output_tensor_meta(index) : meta->input_tensor_meta(index);
    if (!info.ok() || info->sizes().size() > static_cast<size_t>(capacity)) {
      return -1;
    }
    std::copy(info->sizes().begin(), info->sizes().end(), sizes);
    *type = static_cast<int32_t>(info->scalar_type());
    return static_cast<int32_t>(info->sizes().size());
  }

  std::string run(const int64_t* input_ids, const int64_t* attention_mask, int64_t length, float* const* outputs) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Alone alone(threads_ == 1);
    first_words.clear();
    const std::vector<executorch::aten::SizesType> sizes = {1, static_cast<executorch::aten::SizesType>(length)};
    const auto result = module_.forward(
        {from_blob(const_cast<int64_t*>(input_ids), sizes, ScalarType::Long),
         from_blob(const_cast<int64_t*>(attention_mask), sizes, ScalarType::Long)});
    if (!result.ok()) {
      return reason_of(result.error());
    }
    for (size_t index = 0; index < sizes_.size(); ++index) {
      const auto& tensor = result->at(index).toTensor();
      std::memcpy(outputs[index], tensor.const_data_ptr<float>(), sizes_[index] * sizeof(float));
    }
    return "";
  }

 private:
  std::string join_pool() {
    const std::lock_guard<std::mutex> lock(pool_mutex);
    auto* pool = get_threadpool();
    if (pool == nullptr) {
      return "this executorch has no thread pool: use 1 thread";
    }
    const size_t present = pool->get_thread_count();
    if (present != threads_) {
      if (programs_on_pool > 0) {
        return "another model of this process computes with " + std::to_string(present) +
            " threads, and all share one pool: use as many, or 1, or another process";
      }
      pool->_unsafe_reset_threadpool(threads_);
    }
    ++programs_on_pool;
    on_pool_ = true;
    return "";
  }

  // Why this is no program of ours; remembers how many numbers each output has.
  std::string check() {
    const auto meta = module_.method_meta("forward");
    if (!meta.ok() || meta->num_inputs() != 2) {
      return "it doesn't take input_ids and attention_mask";
    }
    for (size_t index = 0; index < meta->num_outputs(); ++index) {
      const auto info = meta->output_tensor_meta(index);
      if (!info.ok() || info->scalar_type() != ScalarType::Float) {
        return "output " + std::to_string(index) + " is not float32";
      }
      sizes_.push_back(static_cast<int64_t>(info->nbytes() / sizeof(float)));
    }
    return "";
  }

  Module module_;
  const uint32_t threads_;
  bool on_pool_ = false;
  std::vector<int64_t> sizes_;
  std::mutex mutex_;
};

} // namespace

extern "C" {

// The model at `path`, to compute with `threads` threads, at least 1; null, with the reason in `why`, if that fails.
void* tlm_load(const char* path, uint32_t threads, char* why, size_t capacity) {
  static const bool quiet = executorch::runtime::register_pal(PalImpl::create(keep_first_words, __FILE__));
  (void)quiet;
  auto model = std::make_unique<Model>(path, threads);
  const std::string reason = model->load();
  if (!reason.empty()) {
    tell(why, capacity, reason);
    return nullptr;
  }
  return model.release();
}

void tlm_free(void* model) {
  delete static_cast<Model*>(model);
}

// The rank of an input or output, its sizes (upper bounds where they vary) and its ScalarType; -1 if there is none.
int32_t tlm_tensor(void* model, int32_t output, int32_t index, int64_t* sizes, int32_t capacity, int32_t* type) {
  return static_cast<Model*>(model)->tensor(output != 0, static_cast<size_t>(index), sizes, capacity, type);
}

// Run one text of `length` token ids; `outputs` are the arrays to fill, one an output. 0 if all is well, else the
// reason is in `why`.
int32_t tlm_run(
    void* model,
    const int64_t* input_ids,
    const int64_t* attention_mask,
    int64_t length,
    float* const* outputs,
    char* why,
    size_t capacity) {
  const std::string reason = static_cast<Model*>(model)->run(input_ids, attention_mask, length, outputs);
  if (reason.empty()) {
    return 0;
  }
  tell(why, capacity, reason);
  return 1;
}

} // extern "C"
