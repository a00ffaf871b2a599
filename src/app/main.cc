#include <cstdio>

#include "base/version.h"

int main() {
  std::printf("lictor %s\n", lictor::version().data());
  return 0;
}
