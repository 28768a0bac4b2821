# wsbridge(1) for bash, 3.2 or later. It needs nothing else, and does not mind which characters are in COMP_WORDBREAKS.
# Written by wsbridge --generate complete-bash

# How an endpoint is written, what its place is, the keys of its options, what it does.
_wsbridge_schemes='@SCHEMES@'

# An option, its letter, what its value is, what it does.
_wsbridge_options='@OPTIONS@'

_wsbridge_topics='@TOPICS@'

# The words of a line as the shell will see them: done ones in `words`, the last one in `word` and as it was typed in `typed`,
# with the quote that is still open in `open`.
_wsbridge_split() {
    local line=$1 character at begun=
    words=() word= typed= open=
    for ((at = 0; at < ${#line}; at++)); do
        character=${line:at:1}
        if [[ $open ]]; then
            if [[ $character == "$open" ]]; then
                open=
            elif [[ $open == '"' && $character == \\ ]]; then
                typed+=$character
                ((++at))
                character=${line:at:1}
                word+=$character
            else
                word+=$character
            fi
        elif [[ $character == [[:space:]] ]]; then
            [[ $begun ]] && words+=("$word")
            word= typed= begun=
            continue
        elif [[ $character == [\'\"] ]]; then
            open=$character
        elif [[ $character == \\ ]]; then
            typed+=$character
            ((++at))
            character=${line:at:1}
            word+=$character
        else
            word+=$character
        fi
        typed+=$character begun=1
    done
}

# Offers a whole word, if it goes on from what was typed; the rest is what follows it, a blank where it is finished.
_wsbridge_add() {
    local text=$1 after=${2-} at character escaped=
    [[ $text == "$word"* ]] || return 0
    text=${text:_wsbridge_kept}
    if [[ $open ]]; then
        # readline closes the quote first.
        [[ $after == ' ' ]] && after= && compopt +o nospace 2>/dev/null
        COMPREPLY+=("$text$after")
        return
    fi
    if [[ $text == *[[:space:]\'\"\\\$\`\!\&\;\|\<\>\(\)\*\?\[\]\{\}]* ]]; then
        for ((at = 0; at < ${#text}; at++)); do
            character=${text:at:1}
            [[ $character == [[:space:]\'\"\\\$\`\!\&\;\|\<\>\(\)\*\?\[\]\{\}] ]] && escaped+=\\
            escaped+=$character
        done
        text=$escaped
    fi
    COMPREPLY+=("$text$after")
}

# _wsbridge_files PREFIX PATH
_wsbridge_files() {
    local full file real=$2
    [[ $2 == '~/'* ]] && real=$HOME/${2:2}
    while IFS= read -r full; do
        [[ -e $full || -L $full ]] || continue
        file=$1$2${full:${#real}}
        if [[ -d $full ]]; then _wsbridge_add "$file" /; else _wsbridge_add "$file" ' '; fi
    done <<<"$(set +f; shopt -u failglob; printf '%s\n' "$real"*)"
}

# _wsbridge_hosts PREFIX AFTER: those of /etc/hosts and of known_hosts that are not hashed.
_wsbridge_hosts() {
    local first rest name names=()
    if [[ -r ~/.ssh/known_hosts ]]; then
        while read -r first rest; do
            case $first in
                '@'* | '#'* | '|'* | '') continue ;;
            esac
            IFS=, read -ra rest <<<"$first"
            names+=("${rest[@]}")
        done <~/.ssh/known_hosts
    fi
    if [[ -r /etc/hosts ]]; then
        while read -r first rest; do
            [[ $first == '#'* ]] && continue
            for name in ${rest%%#*}; do names+=("$name"); done
        done </etc/hosts
    fi
    for name in ${names[@]+"${names[@]}"}; do
        if [[ $name == '['*']:'* ]]; then
            name=${name#\[}
            name=${name%%\]*}
        fi
        [[ $name == *[:*?!]* ]] || _wsbridge_add "$1$name" "$2"
    done
}

# Looks a scheme up by its name: `place` and `keys`, or failure.
_wsbridge_scheme() {
    local text name=$1
    while IFS=$'\t' read -r text place keys _; do
        if [[ $text == "$name:" || $text == "$name://" || $text == "$name" ]]; then
            if [[ $place == =* ]]; then
                name=${place#=}
                name=${name%%:*}
                _wsbridge_scheme "$name"
            fi
            return
        fi
    done <<<"$_wsbridge_schemes"
    return 1
}

# What the value of an option is, as a flag or, with = behind its name, as a key.
_wsbridge_kind() {
    local long
    while IFS=$'\t' read -r long short kind _; do
        [[ $1 == "--$long" || $1 == -? && $1 == "-$short" ]] && return
        [[ $1 == "--$long=" && $kind != flag ]] && return
    done <<<"$_wsbridge_options"
    kind=
    return 1
}

# _wsbridge_value PREFIX KIND TEXT AFTER: the value of an option.
_wsbridge_value() {
    local value
    case $2 in
        *file) _wsbridge_files "$1" "$3" ;;
        file*)
            for value in ${2#file}; do _wsbridge_add "$1$value" "$4"; done
            _wsbridge_files "$1" "$3"
            ;;
        words*) for value in ${2#words}; do _wsbridge_add "$1$value" "$4"; done ;;
        side) _wsbridge_side "$3" ;;
    esac
}

# _wsbridge_keys PREFIX TEXT KEYS: an option behind a comma, a # or a dot.
_wsbridge_keys() {
    local key kind short
    if [[ $2 == *=* ]]; then
        _wsbridge_kind "--${2%%=*}=" && _wsbridge_value "$1${2%%=*}=" "$kind" "${2#*=}" ''
    else
        for key in $3; do _wsbridge_add "$1$key"; done
    fi
}

# The keys of all layers of an address in `layers`, of every endpoint where it has none.
_wsbridge_layers() {
    local rest=$1 place keys
    layers=
    while [[ $rest == *:* ]] && _wsbridge_scheme "${rest%%:*}"; do
        layers+=" $keys"
        rest=${rest#*:}
        case $place in
            wrapped) ;;
            wrapped-*) _wsbridge_is_endpoint "$rest" || rest=${place#wrapped-}: ;;
            *) return ;;
        esac
    done
    [[ $rest == - ]] && _wsbridge_scheme - && layers+=" $keys"
    if [[ ! $layers ]]; then
        while IFS=$'\t' read -r _ place keys _; do
            [[ $place == =* ]] || layers+=" $keys"
        done <<<"$_wsbridge_schemes"
    fi
}

_wsbridge_is_endpoint() {
    local place keys
    [[ $1 == - || $1 == *:* ]] && _wsbridge_scheme "${1%%:*}"
}

# The value of --option: left.KEY=VALUE.
_wsbridge_side() {
    local layers address=
    case $1 in
        left.*) address=${places[0]-} ;;
        right.*) address=${places[1]-} ;;
        *)
            _wsbridge_add left.
            _wsbridge_add right.
            return
            ;;
    esac
    _wsbridge_layers "$address"
    _wsbridge_keys "${1%%.*}." "${1#*.}" "$layers"
}

# Where the last comma stands that is none of the place itself: the text up to it in `before`.
_wsbridge_comma() {
    local text=$1
    while [[ $text == *,* ]]; do
        before=${text%,*},
        [[ $before == *\\, ]] || return 0
        text=${text%,*}
    done
    return 1
}

# An address: layers of wrappers, then a core, then options.
_wsbridge_address() {
    local stem= rest=$1 text place=wrapped keys meant= layers before
    while [[ $place == wrapped* ]]; do
        meant=${place#wrapped}
        if [[ $rest == *:* ]] && _wsbridge_scheme "${rest%%:*}"; then
            stem+=${rest%%:*}:
            rest=${rest#*:}
        elif [[ $rest != *[:,]* ]]; then
            while IFS=$'\t' read -r text place keys _; do
                # Bytes are what has a framing.
                [[ ! $meant || " $keys " == *' framing= '* ]] || continue
                [[ $text == - ]] && _wsbridge_add "$stem-" ' '
                [[ $text == - || $place == =* ]] || _wsbridge_add "$stem$text"
            done <<<"$_wsbridge_schemes"
            [[ $meant == -tcp ]] && _wsbridge_hosts "$stem" :
            return
        elif [[ $meant == -tcp* ]]; then
            place=nothing
            [[ $meant == -tcp ]] && place=host
        else
            return
        fi
    done
    _wsbridge_layers "$1"
    case $place in
        raw) return ;;
        program)
            while IFS= read -r text; do
                [[ $text ]] && _wsbridge_add "$stem$text" ' '
            done <<<"$(compgen -c -- "$rest")"
            return
            ;;
    esac
    if [[ $rest == //* ]]; then
        if [[ $rest == *'#'* ]]; then
            text=${rest#*#}
            before=${rest%%#*}#
            [[ $text == *,* ]] && before+=${text%,*},
            _wsbridge_keys "$stem$before" "${text##*,}" "$layers"
        elif [[ ${rest:2} != *[/:?@]* ]]; then
            text=
            [[ $place == url ]] || text=:
            _wsbridge_hosts "$stem//" "$text"
        fi
    elif [[ $place == url ]]; then
        _wsbridge_add "$stem//"
    elif _wsbridge_comma "$rest"; then
        _wsbridge_keys "$stem$before" "${rest:${#before}}" "$layers"
    elif [[ $place == path ]]; then
        _wsbridge_files "$stem" "$rest"
    elif [[ $place == host && $rest != *:* ]]; then
        _wsbridge_hosts "$stem" :
    fi
}

# What stands behind -- is completed as the shell does it for that command.
_wsbridge_program() {
    local at=1 spec function option
    while [[ ${COMP_WORDS[at]} != -- ]]; do ((at++)); done
    ((at++))
    compopt +o nospace 2>/dev/null
    if ((COMP_CWORD == at)); then
        compopt -o filenames 2>/dev/null
        while IFS= read -r spec; do [[ $spec ]] && COMPREPLY+=("$spec"); done <<<"$(compgen -c -- "$1")"
        return
    fi
    local line=${COMP_LINE#*[[:space:]]--[[:space:]]}
    while [[ $line == [[:space:]]* ]]; do line=${line#?}; done
    COMP_POINT=$((COMP_POINT - ${#COMP_LINE} + ${#line}))
    COMP_LINE=$line
    COMP_WORDS=("${COMP_WORDS[@]:at}")
    COMP_CWORD=$((COMP_CWORD - at))
    local command=${COMP_WORDS[0]}
    spec=$(complete -p -- "$command" 2>/dev/null || complete -p -- "${command##*/}" 2>/dev/null)
    if [[ ! $spec ]] && [[ $(complete -p -D 2>/dev/null) =~ \ -F\ ([^ ]+) ]]; then
        "${BASH_REMATCH[1]}" "$command" "$1" "${COMP_WORDS[COMP_CWORD - 1]}"
        spec=$(complete -p -- "$command" 2>/dev/null || complete -p -- "${command##*/}" 2>/dev/null)
        [[ $spec ]] || return
    fi
    for option in bashdefault default dirnames filenames noquote nosort nospace plusdirs; do
        [[ $spec == *" -o $option "* ]] && compopt -o "$option" 2>/dev/null
    done
    if [[ $spec =~ \ -F\ ([^ ]+) ]]; then
        "${BASH_REMATCH[1]}" "$command" "$1" "${COMP_WORDS[COMP_CWORD - 1]}"
    elif [[ $spec ]]; then
        spec=${spec#complete }
        while IFS= read -r line; do
            [[ $line ]] && COMPREPLY+=("$line")
        done <<<"$(eval "compgen ${spec% *} -- \"\$1\"" 2>/dev/null)"
    else
        compopt -o bashdefault -o default 2>/dev/null
    fi
}

_wsbridge() {
    local words word typed open places=() at flag= kind= short done text
    local IFS=$' \t\n'
    COMPREPLY=()
    _wsbridge_split "${COMP_LINE:0:COMP_POINT}"
    for ((at = 1; at < ${#words[@]}; at++)); do
        text=${words[at]}
        if [[ $flag ]]; then
            flag=
        elif [[ $text == -- ]]; then
            _wsbridge_program "$2"
            return
        elif [[ $text == --*=* ]]; then
            :
        elif [[ $text == -?* ]]; then
            _wsbridge_kind "$text"
            case $kind in
                any | file* | side | words*) flag=$text ;;
            esac
        else
            places+=("$text")
        fi
    done

    # Of the word that is typed readline replaces only $2, what stands behind the last of COMP_WORDBREAKS.
    local _wsbridge_kept=0 last=$word still=$open all=$typed
    if [[ $all == *"$2" && $all != "$2" ]]; then
        _wsbridge_split "${all:0:${#all}-${#2}}"
        _wsbridge_kept=${#word}
    fi
    word=$last open=$still

    if [[ $flag ]]; then
        _wsbridge_kind "$flag"
        _wsbridge_value '' "$kind" "$word" ' '
    elif [[ $word == --*=* ]]; then
        flag=${word%%=*}
        _wsbridge_kind "$flag" && _wsbridge_value "$flag=" "${kind#optional }" "${word#*=}" ' '
    elif [[ $word == -* ]]; then
        [[ $word == - ]] && _wsbridge_add - ' '
        while IFS=$'\t' read -r text short _; do
            [[ $short == = ]] || _wsbridge_add "--$text" ' '
        done <<<"$_wsbridge_options"
        _wsbridge_add -- ' '
    elif [[ ${places[0]-} == help ]]; then
        if ((${#places[@]} == 1)); then
            while IFS=$'\t' read -r text _; do _wsbridge_add "$text" ' '; done <<<"$_wsbridge_topics"
        fi
    elif [[ ${places[0]-} == doctor ]] || ((${#places[@]} < 2)); then
        if ((${#places[@]} == 0)); then
            _wsbridge_add help ' '
            _wsbridge_add doctor ' '
        fi
        _wsbridge_address "$word"
    fi
}

complete -o nospace -F _wsbridge wsbridge
