#include <iostream>

#include "base/version.h"

int main() {
  std::cout << "lictor " << lictor::version() << "\n";
  return 0;
}
