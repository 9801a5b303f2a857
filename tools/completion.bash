# Tab completion for the scripts, and for `python tools/PROGRAM.py`; setup.sh loads it when it is sourced by a bash that
# a person types into. Options are those in docs/help, keys those of configs/base.py.
_face_root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")

_face_complete() {
    local word=${COMP_WORDS[COMP_CWORD]} program=${COMP_WORDS[0]##*/} texts=$_face_root/docs/help keys='' configs=''
    case $program in
        train_graph_distributed.sh | train_ddp.sh) program=train ;;
        val.sh) program=val ;;
        convert.sh) program=export ;;
        python*) program=$(basename -- "${COMP_WORDS[1]:-}" .py) ;;
    esac
    COMPREPLY=()
    # Bash takes KEY=VALUE as three words; a value may be a path, which it completes itself.
    [[ $word == = || ${COMP_WORDS[COMP_CWORD - 1]} == = ]] && return 0
    [[ -f $texts/$program.txt ]] || return 0
    if [[ $word == -* ]]; then
        [[ -f $texts/$program-${COMP_WORDS[2]:-}.txt ]] && program=$program-${COMP_WORDS[2]}
        mapfile -t COMPREPLY < <(compgen -W "$(grep -oE -- '--[a-z_-]+' "$texts/$program.txt" | sort -u)" -- "$word")
    elif grep -q 'key=value' "$texts/$program.txt"; then
        configs=$(cd -- "$_face_root/configs" && ls -- *.py | sed 's/\.py$//; /^__init__$/d; /^base$/d')
        keys=$(sed -nE 's/^config\.([a-z_]+) = .*/\1=/p' "$_face_root/configs/base.py")
        mapfile -t COMPREPLY < <(compgen -W "$configs $keys" -- "$word")
        [[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace
    fi
}

complete -o default -F _face_complete train_graph_distributed.sh train_ddp.sh val.sh convert.sh
for _face_python in python python3; do
    complete -p "$_face_python" &>/dev/null || complete -o default -F _face_complete "$_face_python"
done
unset _face_python
