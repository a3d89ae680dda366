// LayerRepository: a layer of a kernel repository on the Hub, at a version or a revision.
#include "expect.hpp"
#include "kernels/layer/repository.hpp"

using namespace kernels;
using layer::LayerRepository;

int main() {
    const LayerRepository by_version("kernels-community/activation", "SiluAndMul", KernelVersion{1});
    const LayerRepository by_revision("kernels-community/activation", "SiluAndMul", Revision{"main"});
    std::cout << by_version.describe() << '\n' << by_revision.describe() << '\n';
    expect(by_version != by_revision, "a version is another state than a branch");
    // Whose code may run without the Hub calling its publisher trusted: `true`, or a list of repositories.
    const layer::TrustRemoteCode only_this{"someone/activation"};
    const LayerRepository trusted("someone/activation", "SiluAndMul", KernelVersion{1}, only_this);
    expect(trusted.trust_remote_code().allows(trusted.repo()), "the list allows the repository");
    expect(!by_version.trust_remote_code().allows(by_version.repo()), "by default the publisher decides");
    expect_error([] { LayerRepository("activation", "SiluAndMul", KernelVersion{1}); },
                 "a repository is org/name");
}
