// SPDX-License-Identifier: MIT
//
// For programs of many source files: what is slow to compile of a layer, compiled once.
//
//     // wherever layers are used, after the headers of recur, outside of any namespace
//     RECUR_DECLARE_LAYER(recur::math::LSTM, float)
//
//     // in one source file
//     RECUR_DEFINE_LAYER(recur::math::LSTM, float)
//
// for each of the equations in math/ (LSTM, GRU, RNN, GRUResetBefore, one's own) and scalars in
// use. Without them everything works as well, and every source file compiles the layers that it
// uses. Both need the same instructions of the processor (-march); other ones do not link.
#pragma once

#include "recur/layers/backward_pass.hpp"
#include "recur/layers/forward_pass.hpp"
#include "recur/layers/stream.hpp"

/// The layers over these equations are compiled in another source file.
#define RECUR_DECLARE_LAYER(equations, scalar)                            \
  extern template class ::recur::layers::ForwardPass<equations, scalar>;  \
  extern template class ::recur::layers::BackwardPass<equations, scalar>; \
  extern template class ::recur::Stream<equations, scalar>;

/// They are compiled here.
#define RECUR_DEFINE_LAYER(equations, scalar)                      \
  template class ::recur::layers::ForwardPass<equations, scalar>;  \
  template class ::recur::layers::BackwardPass<equations, scalar>; \
  template class ::recur::Stream<equations, scalar>;
