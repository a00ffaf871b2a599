// Where this gateway is to be reached, as bound.
#pragma once

#include "base/address.h"

namespace lictor {

struct GatewayAddresses {
  SocketAddress listener;  // the first one
  SocketAddress admin;
};

}  // namespace lictor
