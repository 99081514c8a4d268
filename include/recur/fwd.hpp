// SPDX-License-Identifier: MIT
//
// Names of the library without their definitions, for headers that only mention them. Template
// arguments are required here: the defaults (sizes at run time) stand with the definitions.
#pragma once

#include "recur/config.hpp"

namespace recur {
class Error;
}  // namespace recur

namespace recur::inline RECUR_ABI {

class TensorFile;
class SafetensorsWriter;
struct StoredTensor;
class Generator;
class MersenneTwister;

template <class Scalar>
class Tensor3;
template <class Scalar>
class Tensor3View;

namespace math {
struct RNN;
struct LSTM;
struct GRU;
struct GRUResetBefore;
}  // namespace math

template <class Array>
struct HiddenState;
template <class Array>
struct LSTMState;
template <class Scalar>
struct PackedSequence;

template <class Scalar>
struct Tape;
template <class Scalar>
struct Workspace;

template <class Scalar>
class Linear;
template <class Scalar>
class Embedding;
template <class Scalar>
class Dropout;
template <class Layer>
class InitialState;
template <class Scalar>
class SGD;
template <class Scalar>
class Adam;
template <class Scalar>
class AdamW;

}  // namespace recur::inline RECUR_ABI
