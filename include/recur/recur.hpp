// SPDX-License-Identifier: MIT
//
// The whole library. Reading and writing of weights (io/) comes along where nlohmann_json is found.
#pragma once

#include "recur/cells/gru_cell.hpp"
#include "recur/cells/lstm_cell.hpp"
#include "recur/cells/rnn_cell.hpp"
#include "recur/layers/gru.hpp"
#include "recur/layers/gru_reset_before.hpp"
#include "recur/layers/instances.hpp"
#include "recur/layers/lstm.hpp"
#include "recur/layers/packed_sequence.hpp"
#include "recur/layers/rnn.hpp"
#include "recur/nn/dropout.hpp"
#include "recur/nn/embedding.hpp"
#include "recur/nn/initial_state.hpp"
#include "recur/nn/linear.hpp"
#include "recur/nn/loss.hpp"
#include "recur/optim/adam.hpp"
#include "recur/optim/clip_grad.hpp"
#include "recur/optim/sgd.hpp"
#include "recur/version.hpp"

#if __has_include(<nlohmann/json.hpp>)
#include "recur/io/checkpoint.hpp"
#include "recur/io/keras.hpp"
#include "recur/io/load_tensors.hpp"
#include "recur/io/npy_writer.hpp"
#include "recur/io/onnx.hpp"
#include "recur/io/safetensors.hpp"
#include "recur/io/self_test.hpp"
#include "recur/io/state_dict.hpp"
#endif
