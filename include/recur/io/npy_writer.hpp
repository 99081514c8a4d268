// SPDX-License-Identifier: MIT
//
// NumPy's files, written: arrays (.npy) and archives of several (.npz, not compressed). npy.hpp
// reads them and says what the format is.
#pragma once

#include <cstddef>
#include <cstring>  // std::memcpy
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "recur/core/parameters.hpp"
#include "recur/io/atomic_file.hpp"
#include "recur/io/npy.hpp"
#include "recur/io/zip_writer.hpp"

namespace recur::inline RECUR_ABI {

namespace detail {

/// The contents of a .npy file; `elements` are row-major.
template <class Element>
std::vector<std::byte> npy_bytes(const std::vector<Index>& shape, const Element* elements) {
  constexpr std::string_view dtype = dtype_of<Element>();
  constexpr char kind = dtype[0] == 'B' ? 'b' : static_cast<char>(dtype[0] + ('a' - 'A'));
  const auto size = byte_count(shape, sizeof(Element));
  check(size.has_value(), "npy: expected sizes from 0 on, got shape ", shape_text(shape));

  std::string header = "{'descr': '" + std::string(sizeof(Element) == 1 ? "|" : "<") + kind +
                       std::to_string(sizeof(Element)) +
                       "', 'fortran_order': False, 'shape': " + shape_text(shape) + ", }";
  constexpr std::size_t prefix = 10;
  const std::size_t whole = (prefix + header.size() + 1 + 63) / 64 * 64;  // aligned as NumPy does
  header.resize(whole - prefix - 1, ' ');
  header += '\n';
  check(header.size() <= 0xFFFF, "npy: too many dimensions: ", shape.size());

  std::string start(npy_start);
  start +=
      {'\1', '\0', static_cast<char>(header.size() & 0xFF), static_cast<char>(header.size() >> 8)};
  start += header;
  std::vector<std::byte> bytes(start.size() + static_cast<std::size_t>(*size));
  std::memcpy(bytes.data(), start.data(), start.size());
  if (*size > 0) {
    std::memcpy(bytes.data() + start.size(), elements, static_cast<std::size_t>(*size));
  }
  return bytes;
}

/// The same of an array of the library: a Tensor3, or a matrix or vector of either storage order.
template <class Array>
std::vector<std::byte> npy_bytes(const Array& array) {
  if constexpr (requires { array.size(2); }) {
    return npy_bytes({array.size(0), array.size(1), array.size(2)}, array.data());
  } else if constexpr (Array::ColsAtCompileTime == 1) {
    const Vector<typename Array::Scalar> vector = array;
    return npy_bytes({vector.rows()}, vector.data());
  } else {
    const RowMatrix<typename Array::Scalar> matrix = array;
    return npy_bytes({matrix.rows(), matrix.cols()}, matrix.data());
  }
}

}  // namespace detail

/// Gathers arrays and writes them as one .npz file.
///
///     recur::NpzWriter writer;
///     writer.add("output", output);                   // numpy.load("run.npz")["output"]
///     writer.add("steps", {3}, steps.data());
///     writer.save("run.npz");
///
/// All errors are recur::Error.
class NpzWriter {
 public:
  /// Adds a Tensor3, or a matrix or vector of Eigen (a vector has one dimension).
  template <class Array>
  void add(const std::string& name, const Array& array) {
    zip_.add(name + ".npy", detail::npy_bytes(array));
  }
  /// Adds elements in row-major order: float, double, bool, whole numbers.
  template <class Element>
  void add(const std::string& name, const std::vector<Index>& shape, const Element* elements) {
    zip_.add(name + ".npy", detail::npy_bytes(shape, elements));
  }

  /// The contents of the file.
  std::vector<std::byte> bytes() const { return zip_.bytes(); }

  /// Writes the file: whole, or not at all.
  void save(const std::filesystem::path& path) const { write_file_atomically(path, bytes()); }

 private:
  ZipWriter zip_;
};

/// Writes one array (a Tensor3, or a matrix or vector of Eigen) as a .npy file.
///
///     recur::save_npy("output.npy", output);          // numpy.load("output.npy")
///
/// The file is written whole or not at all. Throws recur::Error.
template <class Array>
void save_npy(const std::filesystem::path& path, const Array& array) {
  write_file_atomically(path, detail::npy_bytes(array));
}

/// Writes all parameters of a module or composite as a .npz file, under PyTorch's names; `prefix`
/// goes before them. load_state_dict() reads it.
///
///     recur::save_npz("model.npz", model);            //
///     numpy.load("model.npz")["lstm.weight_ih_l0"]
///
/// The file is written whole or not at all. Throws recur::Error.
template <class Model>
void save_npz(const std::filesystem::path& path, const Model& model,
              const std::string& prefix = "") {
  NpzWriter writer;
  for_each_parameter(
      model, [&](const std::string& name, const auto& array) { writer.add(name, array); }, prefix);
  writer.save(path);
}

}  // namespace recur::inline RECUR_ABI
