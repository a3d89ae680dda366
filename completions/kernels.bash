# bash completion for kernels; written by `kernels completion bash`
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
