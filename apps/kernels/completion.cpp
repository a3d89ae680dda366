// kernels completion: scripts that ask `kernels __complete` what may stand at the cursor.
#include <array>
#include <cstdio>
#include <string_view>

#include "commands.hpp"
#include "kernels/core/text.hpp"

namespace kernels::app {
namespace {

constexpr std::string_view bash_script =
    R"(# bash completion for kernels; written by `kernels completion bash`
_kernels() {
    local line=${COMP_LINE:0:COMP_POINT} IFS=$' \t\n' word kept="" reply candidate
    local -a words
    read -r -a words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word=${words[${#words[@]} - 1]}
    # readline breaks words at these characters; what stands before the last one is on the line already.
    local breaks="" c
    for c in "=" ":" "@"; do [[ $COMP_WORDBREAKS == *"$c"* ]] && breaks+=$c; done
    [[ -n $breaks ]] && kept=${word%"${word##*[$breaks]}"}
    reply=$("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        case $candidate in
            "") ;;
            :files) compopt -o filenames
                    while IFS= read -r c; do COMPREPLY+=("$c"); done < <(compgen -f -- "${word#"$kept"}") ;;
            :folders) compopt -o filenames
                    while IFS= read -r c; do COMPREPLY+=("$c"); done < <(compgen -d -- "${word#"$kept"}") ;;
            *) COMPREPLY+=("${candidate#"$kept"}") ;;
        esac
    done <<< "$reply"
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=@:] ]] && compopt -o nospace
    return 0
}
complete -F _kernels kernels
)";

constexpr std::string_view zsh_script = R"(#compdef kernels
# zsh completion for kernels; written by `kernels completion zsh`
_kernels() {
    local line candidate description
    local -a lines plain described
    lines=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    for line in "${lines[@]}"; do
        candidate=${line%%$'\t'*}
        description=${line#*$'\t'}
        case $candidate in
            "") ;;
            :files) _files ;;
            :folders) _files -/ ;;
            *) plain+=("$candidate")
               described+=("$candidate${${description:#$line}:+  -- $description}") ;;
        esac
    done
    (( ${#plain} )) && compadd -l -d described -- "${plain[@]}"
}
if [ "${funcstack[1]}" = "_kernels" ]; then _kernels "$@"; else compdef _kernels kernels; fi
)";

constexpr std::string_view fish_script =
    R"(# fish completion for kernels; written by `kernels completion fish`
function __kernels_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path $current
            case :folders
                __fish_complete_directories $current
            case '*'
                echo $line
        end
    end
end
complete -c kernels -f -a '(__kernels_complete)'
)";

}  // namespace

int run_completion(const Context& context) {
    const std::string& shell = context.arguments.positional().front();
    const std::string_view script = shell == "bash"   ? bash_script
                                    : shell == "zsh"  ? zsh_script
                                    : shell == "fish" ? fish_script
                                                      : std::string_view();
    if (script.empty()) {
        const std::array<std::string, 3> shells = {"bash", "zsh", "fish"};
        const auto hint = did_you_mean(shell, shells);
        throw Error(ErrorCode::usage, backquoted(shell) + ": completions exist for bash, zsh and fish", hint);
    }
    std::fwrite(script.data(), 1, script.size(), stdout);
    return 0;
}

}  // namespace kernels::app
