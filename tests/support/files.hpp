// SPDX-License-Identifier: MIT
//
// Files for the tests of the readers: those that tests/golden/export_files.py wrote with PyTorch
// and NumPy, and archives and pickles put together byte by byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "recur/io/zip_writer.hpp"

#include "support/compare.hpp"

namespace recur::test {

/// The path of a file of export_files.py. The variable RECUR_FILES_FOLDER: others, written by
/// another version.
inline std::filesystem::path exported_file(const std::string& name) {
  const char* folder = std::getenv("RECUR_FILES_FOLDER");
  return std::filesystem::path(folder != nullptr ? folder : RECUR_TESTS_DIR "/golden/files") / name;
}

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream.is_open()) << path;
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline void write_text(const std::filesystem::path& path, std::string_view text) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(text.data(), static_cast<std::streamsize>(text.size()));
  EXPECT_TRUE(stream.good()) << path;
}

inline std::span<const std::byte> bytes_of_text(std::string_view text) {
  return std::as_bytes(std::span(text));
}

inline std::string text_of_bytes(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The little-endian bytes of numbers.
template <class... Numbers>
std::string raw(Numbers... numbers) {
  std::string bytes;
  (bytes.append(reinterpret_cast<const char*>(&numbers), sizeof(numbers)), ...);
  return bytes;
}

/// A zip archive of these names and contents.
inline std::string archive(const std::vector<std::pair<std::string, std::string>>& entries) {
  ZipWriter zip;
  for (const auto& [name, contents] : entries) {
    zip.add(name, bytes_of_text(contents));
  }
  return text_of_bytes(zip.bytes());
}

// ---- Instructions of pickles ----

inline std::string pickled(std::string_view text) {
  return "X" + raw(static_cast<std::uint32_t>(text.size())) + std::string(text);
}
inline std::string pickled(std::int64_t number) { return std::string("\x8a\x08", 2) + raw(number); }
inline std::string pickled(const std::vector<std::int64_t>& numbers) {
  std::string tuple = "(";
  for (const std::int64_t number : numbers) {
    tuple += pickled(number);
  }
  return tuple + "t";
}
inline std::string pickled_name(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

/// A tensor of the storage data/<key>.
struct PickledTensor {
  std::string key = "0";
  std::string storage = "FloatStorage";
  std::int64_t elements = 6;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape = {2, 3};
  std::vector<std::int64_t> strides = {3, 1};
};
inline std::string pickled(const PickledTensor& tensor) {
  return pickled_name("torch._utils", "_rebuild_tensor_v2") + "((" + pickled("storage") +
         pickled_name("torch", tensor.storage) + pickled(tensor.key) + pickled("cpu") +
         pickled(tensor.elements) + "tQ" + pickled(tensor.offset) + pickled(tensor.shape) +
         pickled(tensor.strides) + "\x89" + pickled_name("collections", "OrderedDict") + ")RtR";
}
/// A whole pickle of protocol 2.
inline std::string pickle(const std::string& instructions) {
  return std::string("\x80\x02", 2) + instructions + ".";
}

/// A file of torch.save with this pickle and the storage data/0: 0, 1, 2, 3, 4, 5 in float.
inline std::string torch_file(const std::string& whole_pickle) {
  return archive({{"a/data.pkl", whole_pickle}, {"a/data/0", raw(0.F, 1.F, 2.F, 3.F, 4.F, 5.F)}});
}

}  // namespace recur::test
