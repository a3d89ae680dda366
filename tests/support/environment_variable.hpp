// An environment variable that a test sets.
#pragma once

#include <cstdlib>
#include <string>

namespace kernels::testing {

/// Has the value until the end of the scope, and no value afterwards.
class EnvironmentVariable {
  public:
    EnvironmentVariable(const char* name, const std::string& value) : m_name(name) {
        ::setenv(name, value.c_str(), 1);
    }
    ~EnvironmentVariable() { ::unsetenv(m_name); }
    EnvironmentVariable(const EnvironmentVariable&) = delete;
    EnvironmentVariable& operator=(const EnvironmentVariable&) = delete;

  private:
    const char* m_name;
};

}  // namespace kernels::testing
