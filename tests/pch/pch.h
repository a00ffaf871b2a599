// The precompiled header of the unit tests.
#ifndef LICTOR_TESTS_PCH_H
#define LICTOR_TESTS_PCH_H

#include <doctest/doctest.h>

#include "pch/pch.h"

#endif
