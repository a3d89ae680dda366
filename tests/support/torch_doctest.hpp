// doctest beside libtorch, whose logging has a CHECK of its own.
#pragma once

#include <torch/script.h>

#undef CHECK
#include <doctest/doctest.h>
