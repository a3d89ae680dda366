#include "call_recorder.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <utility>

#include "rewrite.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;

constexpr const char* saw = "kernels_verify::saw";

thread_local CallObserver* current = nullptr;

void tell(Stack& stack) {
    const IValue arguments = pop(stack);
    const IValue method = pop(stack);
    const IValue who = pop(stack);
    CallObserver* observer = std::exchange(current, nullptr);
    if (observer == nullptr) return;
    struct Restore {
        CallObserver* observer;
        ~Restore() { current = observer; }
    } const restore{observer};
    const auto& elements = arguments.toTupleRef().elements();
    (*observer)(who, method.toStringRef(), std::vector<IValue>(elements.begin(), elements.end()));
}

void register_once() {
    static const bool done = [] {
        registerOperator(Operator(std::string(saw) + "(Any who, str method, Any arguments) -> ()",
                                  Operation(tell), c10::AliasAnalysisKind::CONSERVATIVE));
        return true;
    }();
    static_cast<void>(done);
}

void insert_telling(Graph& graph, Value* who, const std::string& method, at::ArrayRef<Value*> values) {
    Value* name = graph.insertConstant(method);
    Node* arguments = graph.insertNode(graph.createTuple(values));
    graph.insertNode(graph.create(c10::Symbol::fromQualString(saw), {who, name, arguments->output()}, 0));
}

}  // namespace

void watch_calls(const std::set<c10::ClassTypePtr>& classes) {
    register_once();
    for (const auto& type : classes) {
        for (Function* method : forwards(type)) {
            auto& graph = *toGraphFunction(*method).graph();
            const auto inputs = graph.inputs();
            const WithInsertPoint at_the_beginning(*graph.nodes().begin());
            insert_telling(graph, inputs[0], method->name(), inputs.slice(1));
        }
    }
}

void watch_values(Node* before, const std::vector<Value*>& values, int64_t number) {
    register_once();
    Graph& graph = *before->owningGraph();
    const WithInsertPoint place(before);
    insert_telling(graph, graph.insertConstant(number), "", values);
}

CallObservation::CallObservation(CallObserver observer) : m_observer(std::move(observer)) {
    current = &m_observer;
}

CallObservation::~CallObservation() {
    current = nullptr;
}

}  // namespace kernels::torchscript
