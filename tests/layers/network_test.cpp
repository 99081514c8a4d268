// SPDX-License-Identifier: MIT
#include "recur/layers/network.hpp"

#include <gtest/gtest.h>

#include "recur/math/lstm.hpp"

#include "support/network.hpp"

namespace network_test {
namespace {

using recur::Index;
using recur::Tensor3;
using LSTM = recur::math::LSTM;

TEST(Network, KnowsItsLayersAndDirections) {
  recur::Generator generator(3);
  const recur::test::NetworkOf<LSTM> module({3, 5, 2, LSTM::gates, true}, 2, 2, generator);
  const auto& network = module.network;
  EXPECT_EQ(network.hidden(), 5);
  EXPECT_EQ(network.output(), 2);
  EXPECT_TRUE(network.projected());
  EXPECT_EQ(network.sizes(0).input, 3);
  EXPECT_EQ(network.sizes(1).input, 4);  // both directions below
  EXPECT_EQ(&network.weights(1)[0].packed, &module.packed[2]);
  EXPECT_EQ(&network.weights(1)[1].packed, &module.packed[3]);
  EXPECT_EQ(network.in_use(network.weights(0)).size(), 2U);
}

TEST(Network, CopiesStatesAndZerosForAbsentOnes) {
  recur::Generator generator(3);
  const recur::test::NetworkOf<LSTM> module({3, 5, 2, LSTM::gates, true}, 1, 1, generator);
  const auto h_0 = recur::test::random_tensor<double>(generator, 1, 4, 2);
  const auto c_0 = recur::test::random_tensor<double>(generator, 1, 4, 5);
  double h[2];
  double c[5] = {1, 1, 1, 1, 1};
  module.network.copy_state({h_0.view(), {}}, 0, 3, {h, 2, c, 5});
  EXPECT_EQ(h[1], h_0(0, 3, 1));
  EXPECT_EQ(c[4], 0);
  module.network.copy_state({h_0.view(), c_0.view()}, 0, 2, {h, 2, c, 5});
  Tensor3<double> h_n(1, 4, 2);
  Tensor3<double> c_n(1, 4, 5);
  module.network.store_state({h, 2, c, 5}, {h_n.view(), c_n.view()}, 0, 1);
  EXPECT_EQ(h_n(0, 1, 0), h_0(0, 2, 0));
  EXPECT_EQ(c_n(0, 1, 4), c_0(0, 2, 4));
  EXPECT_EQ(c_n(0, 2, 4), 0);
}

TEST(Network, BuffersOfADirection) {
  recur::Generator generator(3);
  const recur::test::NetworkOf<LSTM> module({3, 5, 2, LSTM::gates, true}, 1, 2, generator);
  Tensor3<double> h(6, 4, 4);
  Tensor3<double> c(6, 4, 10);
  Tensor3<double> slots(4, 4, 20);
  Tensor3<double> unprojected(4, 4, 5);
  recur::layers::DirectionBuffers<double> buffers;
  module.network.find_buffers(1, h, c, slots, unprojected, buffers);
  EXPECT_EQ(buffers.state(2, 3).h, &h(2, 3, 2));
  EXPECT_EQ(buffers.state(2, 3).c, &c(2, 3, 5));
  EXPECT_EQ(buffers.slots, slots.data());
  EXPECT_EQ(buffers.slots_row, 20);
  EXPECT_EQ(buffers.unprojected, unprojected.data());
  Tensor3<double> in_place(1, 4, 10);
  module.network.find_buffers(1, h, in_place, slots, unprojected, buffers);
  EXPECT_EQ(buffers.state(2, 3).c, &in_place(0, 3, 5));
}

}  // namespace
}  // namespace network_test
