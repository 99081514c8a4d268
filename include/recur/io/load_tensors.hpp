// SPDX-License-Identifier: MIT
//
// Files of tensors in any of the formats that the library reads, told by their first bytes and not
// by their name.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "recur/io/mapped_file.hpp"
#include "recur/io/npy.hpp"
#include "recur/io/safetensors.hpp"
#include "recur/io/torch_file.hpp"
#include "recur/io/zip.hpp"

namespace recur::inline RECUR_ABI {

namespace detail {

/// What a file is that no reader takes, and what to do about it; "" where that is not known.
inline std::string_view known_other_format(std::string_view start) {
  using namespace std::string_view_literals;
  static constexpr struct {
    std::size_t at;
    std::string_view bytes;
    std::string_view text;
  } known[] = {
      {0, "\x89HDF\r\n\x1a\n"sv,
       "an HDF5 file, as Keras writes it (in Python: model.get_weights(), then numpy.savez)"},
      {0, "\x1f\x8b"sv, "a gzip file (unpack it first: gunzip)"},
      {0, "BZh"sv, "a bzip2 file (unpack it first: bunzip2)"},
      {0,
       "\xfd"
       "7zXZ"sv,
       "an xz file (unpack it first: unxz)"},
      {0, "\x28\xb5\x2f\xfd"sv, "a zstd file (unpack it first: unzstd)"},
      {0, "version https://git-lfs"sv,
       "a pointer of Git LFS, not the file itself (fetch that: git lfs pull)"},
      {0, "<!DOCTYPE"sv, "a web page (did the download fail?)"},
      {0, "<!doctype"sv, "a web page (did the download fail?)"},
      {0, "<html"sv, "a web page (did the download fail?)"},
      {0, "GGUF"sv, "a GGUF file, which holds no recurrent layers"},
      {4, "TFL3"sv, "a TensorFlow Lite model"},
      {257, "ustar"sv, "a tar archive (unpack it first: tar xf)"},
  };
  for (const auto& format : known) {
    if (start.size() >= format.at && start.substr(format.at).starts_with(format.bytes)) {
      return format.text;
    }
  }
  // ONNX: a protobuf whose field 1 is the version of the format and whose field 2 (the producer's
  // name) or 7 (the graph) or 8 (the operators) comes next.
  if (start.size() > 2 && start[0] == '\x08' && start[1] > 0 && start[1] < 32 &&
      (start[2] == '\x12' || start[2] == '\x3a' || start[2] == '\x42')) {
    return "an ONNX model (in Python: onnx.numpy_helper.to_array of its initializers, then "
           "numpy.savez)";
  }
  if (start.size() > 2 && start[0] == '\x80' && start[1] >= 2 && start[1] <= 5) {
    return "a pickle of Python, which could run any program (save the weights with torch.save or "
           "numpy.savez)";
  }
  return "";
}

/// Reads a zip archive by what is in it.
inline TensorFile parse_zip(std::span<const std::byte> bytes, const std::string& name) {
  const ZipFile zip(bytes, name);
  bool arrays = false;
  for (const ZipEntry& entry : zip.entries()) {
    const std::size_t slash = entry.name.rfind('/');
    if (slash != std::string_view::npos && entry.name.substr(slash) == "/data.pkl") {
      return parse_torch(bytes, name);
    }
    check(entry.name != "model.weights.h5", name,
          ": is a model of Keras (in Python: model.get_weights(), then numpy.savez)");
    arrays = arrays || entry.name.ends_with(".npy");
  }
  check(arrays || zip.entries().empty(), name,
        ": expected a file of torch.save (with data.pkl) or numpy.savez (with arrays, .npy), got a "
        "zip archive with ",
        zip.entries().empty() ? "" : in_quotes(zip.entries().front().name), " and ",
        zip.entries().size() - 1, " more");
  return parse_npz(bytes, name);  // numpy.savez of no array is an empty archive
}

}  // namespace detail

/// Reads the bytes of a file in any of the formats: see load_tensors(). `name` stands for the file
/// in error texts; the bytes must outlive the result.
inline TensorFile parse_tensors(std::span<const std::byte> bytes, const std::string& name) {
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  check(!start.empty(), name, ": is empty");
  if (start.starts_with("PK\3\4") || start.starts_with("PK\5\6") ||
      start.starts_with("PK\6\6")) {  // the last two: archives of nothing
    return detail::parse_zip(bytes, name);
  }
  if (start.starts_with(detail::npy_start)) {
    return parse_npy(bytes, name);
  }
  if (start.starts_with(detail::legacy_torch_start)) {
    return parse_torch(bytes, name);  // which says why not
  }
  if (start.size() > 8 && start[8] == '{') {
    return parse_safetensors(bytes, name);
  }
  const std::string_view other = detail::known_other_format(start);
  check(other.empty(), name, ": expected safetensors, a file of torch.save, .npy or .npz, got ",
        other);
  fail(name, ": expected safetensors, a file of torch.save, .npy or .npz, got a file that begins ",
       "with ", detail::in_quotes(start.substr(0, 16)), " (is it complete?)");
}

/// Reads a file of safetensors, torch.save, numpy.save or numpy.savez, whatever it is called. See
/// load_safetensors(), load_torch(), load_npy(), load_npz().
///
///     const recur::TensorFile file = recur::load_tensors("model.pt");
///     for (const std::string& name : file.names()) { … file.tensor(name).shape … }
///
/// Throws recur::Error: of another format (HDF5, ONNX, an archive …) it says which it is.
inline TensorFile load_tensors(const std::filesystem::path& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  TensorFile result = parse_tensors(file->bytes(), file->name());
  result.keep(file);
  return result;
}

}  // namespace recur::inline RECUR_ABI
