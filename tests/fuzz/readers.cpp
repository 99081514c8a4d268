// SPDX-License-Identifier: MIT
//
// A program of libFuzzer for all readers of files from outside. The variable RECUR_FUZZ says which:
// safetensors, torch, npy, onnx or idx. run.sh builds and runs it.
#include "fuzz/readers.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <sanitizer/allocator_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <string>
#include <unistd.h>
#include <vector>

#include "recur/io/zip_writer.hpp"

#include "fuzz/idx_reader.hpp"
#ifdef RECUR_FUZZ_ONNX
#include "fuzz/onnx_reader.hpp"
#endif

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

using recur::fuzz::Bytes;

// ---- What is allocated while a file is read ----

bool counting = false;
std::uint64_t live = 0;
std::uint64_t peak = 0;

void on_malloc(const volatile void*, std::size_t size) {
  if (counting) {
    live += size;
    peak = std::max(peak, live);
  }
}
void on_free(const volatile void* memory) {
  if (counting && memory != nullptr) {
    const std::size_t size = __sanitizer_get_allocated_size(const_cast<const void*>(memory));
    live -= std::min<std::uint64_t>(live, size);
  }
}

/// Runs f and ends the program when it takes more memory at a time than the file allows.
template <class F>
auto with_memory_checked(Bytes bytes, std::uint64_t more, F&& f) {
  struct Counter {
    std::uint64_t allowed;
    ~Counter() {
      counting = false;
      if (peak > allowed) {
        std::fprintf(stderr, "allocated %llu bytes at a time, allowed are %llu\n",
                     static_cast<unsigned long long>(peak),
                     static_cast<unsigned long long>(allowed));
        std::abort();
      }
    }
  };
  live = peak = 0;
  const Counter counter{recur::fuzz::allowed_memory(bytes) + more};
  counting = true;
  return f();
}

// ---- The reader ----

constexpr double max_seconds = 2;  // of the processor, for a file of some kilobytes

std::string chosen_reader() {
  const char* name = std::getenv("RECUR_FUZZ");
  return name != nullptr ? name : "";
}

void read(const std::string& reader, Bytes bytes) {
  const auto run = [&](auto read_file) {
    try {
      recur::fuzz::touch(with_memory_checked(bytes, 0, [&] { return read_file(bytes); }));
    } catch (const recur::Error&) {
    }
  };
  if (reader == "safetensors") {
    run(recur::fuzz::read_safetensors);
  } else if (reader == "torch") {
    run(recur::fuzz::read_torch);
  } else if (reader == "npy") {
    run(recur::fuzz::read_npy);
#ifdef RECUR_FUZZ_ONNX
  } else if (reader == "onnx") {
    try {
      // The layer that is loaded has a size of its own.
      with_memory_checked(bytes, 1U << 16, [&] { return recur::fuzz::read_onnx(bytes); });
    } catch (const recur::Error&) {
    }
#endif
  } else if (reader == "idx") {
    static const std::filesystem::path folder = [] {
      auto path =
          std::filesystem::temp_directory_path() / ("recur_fuzz_" + std::to_string(getpid()));
      std::filesystem::create_directories(path);
      return path;
    }();
    try {
      // Buffers of two streams, and zlib's; deflated bytes are at most 1032 times as many.
      with_memory_checked(bytes, (1U << 20) + 3 * 1032 * bytes.size(),
                          [&] { return recur::fuzz::read_idx(bytes, folder); });
    } catch (const mnist::DataError&) {
    }
  } else {
    std::fprintf(stderr, "RECUR_FUZZ: expected safetensors, torch, npy, onnx or idx, got \"%s\"\n",
                 reader.c_str());
    std::exit(2);
  }
}

// ---- Mutation of archives: of an entry, with its checksum, or of any bytes ----

std::size_t mutate_entry(std::uint8_t* data, std::size_t size, std::size_t max_size,
                         unsigned seed) {
  std::vector<std::byte> file;
  try {
    const recur::ZipFile old(std::as_bytes(std::span(data, size)), "");
    if (old.entries().empty()) {
      return 0;
    }
    recur::ZipWriter zip;
    const std::size_t chosen = seed / 4 % old.entries().size();
    for (std::size_t k = 0; k < old.entries().size(); ++k) {
      const recur::ZipEntry& entry = old.entries()[k];
      const recur::ZipContents contents = old.contents(entry);
      if (k == chosen) {
        std::vector<std::uint8_t> changed(std::max<std::size_t>(2 * contents.bytes.size(), 64));
        if (!contents.bytes.empty()) {
          std::memcpy(changed.data(), contents.bytes.data(), contents.bytes.size());
        }
        changed.resize(LLVMFuzzerMutate(changed.data(), contents.bytes.size(), changed.size()));
        zip.add(std::string(entry.name), std::as_bytes(std::span(changed)));
      } else {
        zip.add(std::string(entry.name), contents.bytes);
      }
    }
    file = zip.bytes();
  } catch (const recur::Error&) {
    return 0;
  }
  if (file.size() > max_size) {
    return 0;
  }
  std::memcpy(data, file.data(), file.size());
  return file.size();
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  if (seed % 4 != 0 && size > 1 && data[0] == 'P' && data[1] == 'K') {
    if (const std::size_t changed = mutate_entry(data, size, max_size, seed)) {
      return changed;
    }
  }
  return LLVMFuzzerMutate(data, size, max_size);
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string reader = chosen_reader();
  // Unlike libFuzzer's -timeout, this does not count the time in which other programs run.
  const std::clock_t begin = std::clock();
  read(reader, std::as_bytes(std::span(data, size)));
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  if (seconds > max_seconds) {
    std::fprintf(stderr, "took %.1f seconds, allowed are %.1f\n", seconds, max_seconds);
    std::abort();
  }
  return 0;
}
