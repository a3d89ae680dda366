#include "graph_run.hpp"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/interpreter.h>

#include <algorithm>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "graph_calls.hpp"
#include "in_double.hpp"
#include "kept_state.hpp"
#include "other_roundings.hpp"
#include "tensors_in.hpp"
#include "wide_values.hpp"

namespace kernels::torchscript {
namespace {

using namespace torch::jit;
using Values = std::vector<IValue>;

bool is_walkable(const Block* block);

bool is_walkable(const Node* node) {
    switch (node->kind()) {
        case prim::Constant:
        case prim::GetAttr:
        case prim::SetAttr:
        case prim::TupleConstruct:
        case prim::TupleUnpack:
        case prim::ListConstruct:
        case prim::ListUnpack:
        case prim::DictConstruct:
        case prim::CreateObject:
        case prim::isinstance:
        case prim::Enter:
        case prim::Exit:
        case prim::unchecked_cast:
        case prim::RaiseException:
        case prim::Uninitialized:
        case aten::wait:
            return true;
        case prim::CallMethod:  // that of an interface is known later
            return true;
        case prim::CallFunction:
            return function_called(node)->isGraphFunction();
        case prim::If:
        case prim::Loop:
            return std::all_of(node->blocks().begin(), node->blocks().end(),
                               [](const Block* block) { return is_walkable(block); });
        case prim::fork:
            return is_walkable(node->g(attr::Subgraph)->block());
        case prim::awaitable:
        case prim::rpc_async:
        case prim::awaitable_wait:
            return false;
        default:
            return node->maybeOperator() != nullptr && node->blocks().empty();
    }
}

// Whether all nodes in it are such as the walk below knows. The others are for libtorch's interpreter.
bool is_walkable(const Block* block) {
    return std::all_of(block->nodes().begin(), block->nodes().end(),
                       [](const Node* node) { return is_walkable(node); });
}

// One call of a function, with all that it calls.
class Walk {
  public:
    Walk() = default;
    // In float64.
    explicit Walk(const DtypesRead& read) : m_read(&read) { m_wide.emplace(read.own); }
    explicit Walk(OtherRoundings roundings) : m_roundings(std::move(roundings)) {}
    // Notes what code reads.
    explicit Walk(DtypesRead* noted) : m_noted(noted) {}

    IValue call(Function& callee, Values arguments) {
        if (!callee.isGraphFunction()) return call_builtin(callee, std::move(arguments));
        auto& function = toGraphFunction(callee);
        function.ensure_defined();
        auto& graph = *function.graph();
        auto known = m_walkable.find(&graph);
        if (known == m_walkable.end()) known = m_walkable.emplace(&graph, is_walkable(graph.block())).first;
        if (!known->second) return interpret(graph, function.name(), std::move(arguments));
        return run_body(*graph.block(), std::move(arguments));
    }

  private:
    using Frame = std::unordered_map<const Value*, IValue>;

    IValue run_body(Block& block, Values arguments) {
        Frame frame;
        const std::size_t entered = m_entered.size();
        try {
            return std::move(run(block, std::move(arguments), frame).at(0));
        } catch (...) {
            while (m_entered.size() > entered)
                exit();
            throw;
        }
    }

    // Of a class that is compiled C++.
    IValue call_builtin(Function& function, Values arguments) const {
        refuse_double();
        function.run(arguments);
        return std::move(arguments.at(0));
    }

    void refuse_double() const {
        if (m_wide) throw std::runtime_error("its code is not for float64");
    }

    IValue interpret(Graph& graph, const std::string& name, Values arguments) {
        refuse_double();
        auto known = m_codes.find(&graph);
        if (known == m_codes.end()) {
            auto copy = graph.copy();
            Inline(*copy);
            known = m_codes.emplace(&graph, Code(copy, name)).first;
        }
        InterpreterState(known->second).run(arguments);
        return std::move(arguments.at(0));
    }

    // The values that no node after this one needs: tensors are freed as early as the interpreter frees them.
    using Ends = std::unordered_map<const Node*, std::vector<const Value*>>;
    static Ends ends_in(Block& block) {
        Ends ends;
        const auto add = [&](const Value* value, const Node* last) {
            for (const auto& use : value->uses()) {
                const Node* user = use.user;
                while (user->owningBlock() != &block)
                    user = user->owningBlock()->owningNode();
                if (last == nullptr || user->isAfter(last)) last = user;
            }
            if (last != nullptr && last->kind() != prim::Return) ends[last].push_back(value);
        };
        for (const Value* input : block.inputs())
            add(input, nullptr);
        for (const Node* node : block.nodes())
            for (const Value* output : node->outputs())
                add(output, node);
        return ends;
    }

    Values run(Block& block, Values inputs, Frame& frame) {
        for (std::size_t i = 0; i < inputs.size(); ++i)
            frame[block.inputs()[i]] = std::move(inputs[i]);
        auto known = m_ends.find(&block);
        if (known == m_ends.end()) known = m_ends.emplace(&block, ends_in(block)).first;
        const Ends& ends = known->second;  // stays where it is when others are added
        for (Node* node : block.nodes()) {
            step(*node, frame);
            if (const auto ended = ends.find(node); ended != ends.end())
                for (const Value* value : ended->second)
                    frame.erase(value);
        }
        Values outputs;
        for (const Value* output : block.outputs())
            outputs.push_back(frame.at(output));
        return outputs;
    }

    static Values inputs_of(const Node& node, const Frame& frame, std::size_t first = 0) {
        Values inputs;
        for (const Value* input : node.inputs().slice(first))
            inputs.push_back(frame.at(input));
        return inputs;
    }

    static void set_outputs(const Node& node, Frame& frame, Values outputs) {
        TORCH_CHECK(outputs.size() == node.outputs().size(), "another number of values than expected");
        for (std::size_t i = 0; i < outputs.size(); ++i)
            frame[node.outputs()[i]] = std::move(outputs[i]);
    }

    void step(Node& node, Frame& frame) {
        const auto first = [&]() -> const IValue& { return frame.at(node.input(0)); };
        switch (node.kind()) {
            case prim::Constant:
                frame[node.output()] = toIValue(node.output()).value_or(IValue());  // none of a function
                return;
            case prim::GetAttr:
                frame[node.output()] = m_wide ? m_wide->attribute(first().toObject(), node.s(attr::name))
                                              : first().toObjectRef().getAttr(node.s(attr::name));
                return;
            case prim::SetAttr: {
                const IValue& value = frame.at(node.input(1));
                return m_wide ? m_wide->set_attribute(first().toObject(), node.s(attr::name), value)
                              : first().toObject()->setAttr(node.s(attr::name), value);
            }
            case prim::TupleConstruct:
                frame[node.output()] = tuple_of(node, inputs_of(node, frame));
                return;
            case prim::ListConstruct:
                frame[node.output()] = list_of(node, inputs_of(node, frame));
                return;
            case prim::TupleUnpack: {
                const auto& elements = first().toTupleRef().elements();
                return set_outputs(node, frame, Values(elements.begin(), elements.end()));
            }
            case prim::ListUnpack:
                return set_outputs(node, frame, first().toListRef().vec());
            case prim::unchecked_cast:
                frame[node.output()] = IValue(first());
                return;
            case prim::Uninitialized:  // of a branch that raises
                frame[node.output()] = IValue();
                return;
            case prim::RaiseException:
                throw std::runtime_error(exception_of(node, frame));
            case prim::DictConstruct:
                frame[node.output()] = dict_of(node, inputs_of(node, frame));
                return;
            case prim::CreateObject: {
                const auto type = node.output()->type()->expect<ClassType>();
                auto object = c10::ivalue::Object::create(c10::StrongTypePtr(type->compilation_unit(), type),
                                                          type->numAttributes());
                if (m_wide) m_wide->made(object);
                frame[node.output()] = std::move(object);
                return;
            }
            case prim::isinstance: {
                const auto& types = node.tys(attr::types);
                const auto type = first().type();
                frame[node.output()] = std::any_of(types.begin(), types.end(),
                                                   [&](const auto& one) { return type->isSubtypeOf(*one); });
                return;
            }
            case prim::Enter:
                frame[node.output()] = enter(first());
                return;
            case prim::Exit:
                frame[node.output()] = exit();
                return;
            case prim::dtype:
                frame[node.output()] = static_cast<int64_t>(read_dtype(node, first().toTensor()));
                return;
            case prim::CallMethod:
                frame[node.output()] = call(method_of(node.s(attr::name), first()), inputs_of(node, frame));
                return;
            case prim::CallFunction:
                frame[node.output()] = call(function_of(node), inputs_of(node, frame, 1));
                return;
            case prim::fork:
                frame[node.output()] = fork(node, inputs_of(node, frame));
                return;
            case aten::wait: {
                const auto future = first().toFuture();
                future->waitAndThrow();
                frame[node.output()] = future->value();
                return;
            }
            case prim::If:
                return set_outputs(node, frame, run(*node.blocks()[first().toBool() ? 0 : 1], {}, frame));
            case prim::Loop:
                return loop(node, frame);
            default:
                return operate(node, frame);
        }
    }

    at::ScalarType read_dtype(const Node& node, const at::Tensor& tensor) {
        if (m_noted != nullptr) m_noted->answers.emplace_back(&node, tensor.scalar_type());
        if (!m_wide) return tensor.scalar_type();
        const auto& answers = m_read->answers;
        if (m_reads == answers.size() || answers[m_reads].first != &node)
            throw std::runtime_error("it asks for other dtypes there");
        return answers[m_reads++].second;
    }

    // As the interpreter writes it.
    static std::string exception_of(const Node& node, const Frame& frame) {
        const auto values = inputs_of(node, frame);
        const bool named = values.size() > 1 && values[1].isString();
        return (named ? values[1].toStringRef() : "RuntimeError") + ": " + values.at(0).toStringRef();
    }

    static GraphFunction& function_of(const Node& node) {
        return toGraphFunction(*node.input(0)->type()->expectRef<FunctionType>().function());
    }

    static Function& method_of(const std::string& name, const IValue& object) {
        return object.toObjectRef().type()->getMethod(name);
    }

    IValue enter(const IValue& manager) {
        m_entered.push_back(manager);
        return call(method_of("__enter__", manager), {manager});
    }

    IValue exit() {
        const IValue manager = m_entered.back();
        m_entered.pop_back();
        return call(method_of("__exit__", manager), {manager, IValue(), IValue(), IValue()});
    }

    // At once and in this thread, where it is seen what it calls; as libtorch's, it fails where it is waited
    // for.
    IValue fork(const Node& node, Values arguments) {
        const auto type = node.output()->type()->expectRef<FutureType>().getElementType();
        auto future = c10::make_intrusive<c10::ivalue::Future>(type);
        try {
            future->markCompleted(run_body(*node.g(attr::Subgraph)->block(), std::move(arguments)));
        } catch (const std::exception&) {
            future->setError(std::current_exception());
        }
        return future;
    }

    static IValue tuple_of(const Node& node, Values elements) {
        const auto type = node.output()->type()->expect<TupleType>();
        if (type->name()) return c10::ivalue::Tuple::createNamed(std::move(elements), type);
        return c10::ivalue::Tuple::create(std::move(elements));
    }

    static IValue list_of(const Node& node, const Values& elements) {
        c10::impl::GenericList list(node.output()->type()->expectRef<ListType>().getElementType());
        list.reserve(elements.size());
        for (const auto& element : elements)
            list.push_back(element);
        return list;
    }

    static IValue dict_of(const Node& node, const Values& items) {
        const auto& type = node.output()->type()->expectRef<DictType>();
        c10::impl::GenericDict dict(type.getKeyType(), type.getValueType());
        for (std::size_t i = 0; i + 1 < items.size(); i += 2)
            dict.insert_or_assign(items[i], items[i + 1]);
        return dict;
    }

    void loop(Node& node, Frame& frame) {
        const int64_t most = frame.at(node.input(0)).toInt();
        bool goes_on = frame.at(node.input(1)).toBool();
        Values carried = inputs_of(node, frame, 2);
        for (int64_t i = 0; goes_on && i < most; ++i) {
            carried.insert(carried.begin(), i);
            carried = run(*node.blocks()[0], std::move(carried), frame);
            goes_on = carried.front().toBool();
            carried.erase(carried.begin());
        }
        set_outputs(node, frame, std::move(carried));
    }

    void operate(Node& node, Frame& frame) {
        Stack stack = inputs_of(node, frame);
        const bool any_number = node.schema().is_vararg();
        // One that is made for the node knows it.
        if (any_number && node.getOperator().hasOperation())
            stack.emplace_back(static_cast<int64_t>(stack.size()));
        m_wide && !any_number ? m_wide->operate(node, stack) : node.getOperation()(stack);
        if (m_roundings && !any_number) m_roundings->apply(node, stack);
        set_outputs(node, frame, std::move(stack));
    }

    std::optional<WideValues> m_wide;  // where all is computed in float64
    std::optional<OtherRoundings> m_roundings;
    const DtypesRead* m_read = nullptr;
    std::size_t m_reads = 0;  // of those
    DtypesRead* m_noted = nullptr;
    std::unordered_map<const Graph*, bool> m_walkable;
    std::unordered_map<const Graph*, Code> m_codes;  // for as long as this lives
    std::unordered_map<const Block*, Ends> m_ends;
    Values m_entered;  // what is within `with` now
};

IValue go(Walk&& walk, const Module& module, const std::string& method, Values arguments) {
    auto& function = module.get_method(method).function();
    arguments.insert(arguments.begin(), module._ivalue());
    function.getSchema().checkAndNormalizeInputs(arguments);
    return walk.call(function, std::move(arguments));
}

}  // namespace

IValue run_graph(const Module& module, const std::string& method, Values arguments) {
    if (getGraphExecutorOptimize()) return module.get_method(method)(std::move(arguments));
    return go(Walk(), module, method, std::move(arguments));
}

IValue run_with_other_roundings(const Module& module, const std::string& method, Values arguments,
                                std::uint64_t seed) {
    return go(Walk(OtherRoundings(seed)), module, method, std::move(arguments));
}

DtypesRead dtypes_read(const Module& module, const std::string& method, const Values& arguments) {
    DtypesRead read{dtype_of(module, arguments), {}};
    if (!asks_for_dtypes(module, method)) return read;
    const KeptState state(module);
    go(Walk(&read), module, method, with_tensors(arguments, exact_copy));
    return read;
}

IValue run_in_double(const Module& module, const std::string& method, Values arguments,
                     const DtypesRead& read) {
    return widened(go(Walk(read), module, method, std::move(arguments)));
}

}  // namespace kernels::torchscript
