// The Hub's answers: which path gives what. Rules as clients see them on the public Hub.
#pragma once

#include <httplib.h>

#include <chrono>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "faults.hpp"
#include "repository.hpp"
#include "request_log.hpp"

namespace kernels::hub_server {

struct Options {
    std::string host = "127.0.0.1";  ///< the name that the hub announces
    std::size_t page_size = 1000;    ///< entries a page of a tree listing
    std::chrono::milliseconds latency{0};
    std::string token;  ///< empty: nobody needs one, and private repositories are hidden from everybody
    bool all_trusted = false;
    std::vector<std::string> trusted;  ///< when not empty, the only trusted organizations
};

/// Answers requests out of a Store. Thread-safe.
class Server {
  public:
    Server(const Store& store, Options options, Faults& faults, RequestLog& log)
        : m_store(store), m_options(std::move(options)), m_faults(faults), m_log(log) {}

    /// Makes `server` ask this object for every answer.
    void attach(httplib::Server& server);

  private:
    struct Call;
    void answer(Call& call) const;
    void answer_organization(Call& call, const std::string& org) const;
    void answer_api(Call& call) const;
    void answer_refs(Call& call, const Repository& repository) const;
    void answer_revision(Call& call, const Repository& repository, const CommitTree& tree) const;
    void answer_tree(Call& call, const CommitTree& tree, const std::string& folder) const;
    void answer_resolve(Call& call) const;
    void answer_content(Call& call) const;
    const Repository* open(Call& call, const std::string& id) const;

    const Store& m_store;
    Options m_options;
    Faults& m_faults;
    RequestLog& m_log;
};

}  // namespace kernels::hub_server
