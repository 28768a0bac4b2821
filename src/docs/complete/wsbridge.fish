# wsbridge(1) for fish.
# Written by wsbridge --generate complete-fish

# How an endpoint is written, what its place is, the keys of its options, what it does.
set -g __wsbridge_schemes (string split \n -- '@SCHEMES@')

# An option, its letter, what its value is, what it does.
set -g __wsbridge_options (string split \n -- '@OPTIONS@')

set -g __wsbridge_topics (string split \n -- '@TOPICS@')

# Prints a candidate and what it means, if it goes on from what was typed: fish would look for that in the meaning too.
function __wsbridge_add --argument-names text meaning
    test (string sub -l (string length -- "$__wsbridge_word") -- "$text") = "$__wsbridge_word"
    and printf '%s\t%s\n' $text $meaning
end

# __wsbridge_files PREFIX PATH
function __wsbridge_files --argument-names prefix path
    set -l real (string replace -r '^~/' "$HOME/" -- $path)
    for file in $real*
        if test -d $file
            set file $file/
        end
        if test "$real" != "$path"
            set file (string replace -- "$HOME/" '~/' $file)
        end
        __wsbridge_add $prefix$file
    end
end

# __wsbridge_hosts PREFIX AFTER...: those of /etc/hosts and of known_hosts that are not hashed.
function __wsbridge_hosts --argument-names prefix
    set -l names
    if test -r ~/.ssh/known_hosts
        set -l fields (string replace -rf '^([^@#|\s]\S*).*' '$1' <~/.ssh/known_hosts)
        set -a names (string split , -- $fields)
    end
    if test -r /etc/hosts
        set -l lines (string replace -r '#.*' '' </etc/hosts | string replace -rf '^\s*\S+\s+(.*)' '$1')
        set -a names (string match -ra '\S+' -- $lines)
    end
    set names (string replace -r '^\[([^]]*)\]:.*' '$1' -- $names)
    for name in (string match -rv '[:*?!]' -- $names)
        for after in $argv[2..]
            __wsbridge_add $prefix$name$after
        end
    end
end

# What a scheme's place is, then the keys of its options.
function __wsbridge_scheme --argument-names name
    for line in $__wsbridge_schemes
        set -l fields (string split \t -- $line)
        if contains -- $fields[1] "$name:" "$name://" "$name"
            if string match -q '=*' -- $fields[2]
                __wsbridge_scheme (string replace -r '^=(.*?):.*' '$1' -- $fields[2])
                return
            end
            printf '%s\n' $fields[2] $fields[3]
            return 0
        end
    end
    return 1
end

# What the value of an option is, as a flag or, with = behind its name, as a key.
function __wsbridge_kind --argument-names name
    for line in $__wsbridge_options
        set -l fields (string split \t -- $line)
        if test "$name" = "--$fields[1]"; or test "$fields[2]" != - -a "$name" = "-$fields[2]"
            echo $fields[3]
            return 0
        else if test "$name" = "--$fields[1]="; and test $fields[3] != flag
            echo $fields[3]
            return 0
        end
    end
    return 1
end

# __wsbridge_value PREFIX KIND TEXT ADDRESSES...: the value of an option.
function __wsbridge_value --argument-names prefix kind text
    switch $kind
        case 'file' 'optional file'
            __wsbridge_files $prefix $text
        case 'file *'
            for value in (string split ' ' -- $kind)[2..]
                __wsbridge_add $prefix$value
            end
            __wsbridge_files $prefix $text
        case 'words *'
            for value in (string split ' ' -- $kind)[2..]
                __wsbridge_add $prefix$value
            end
        case side
            __wsbridge_side $text $argv[4..]
    end
end

# __wsbridge_keys PREFIX TEXT KEY...: an option behind a comma, a # or a dot.
function __wsbridge_keys --argument-names prefix text
    if set -l parts (string split -m 1 = -- $text); and set -q parts[2]
        set -l kind (__wsbridge_kind "--$parts[1]=")
        and __wsbridge_value "$prefix$parts[1]=" $kind $parts[2]
        return
    end
    for line in $__wsbridge_options
        set -l fields (string split \t -- $line)
        set -l key $fields[1]
        test $fields[3] = flag
        or set key $key=
        contains -- $key $argv[3..]
        and __wsbridge_add $prefix$key $fields[4]
    end
end

# The keys of all layers of an address, of every endpoint where it has none.
function __wsbridge_layers --argument-names rest
    set -l layers
    while string match -q '*:*' -- $rest
        set -l found (__wsbridge_scheme (string split -m 1 : -- $rest)[1])
        or break
        set -a layers (string split ' ' -- $found[2])
        set rest (string split -m 1 : -- $rest)[2]
        switch $found[1]
            case wrapped
            case 'wrapped-*'
                __wsbridge_scheme (string replace -rf ':.*' '' -- $rest) >/dev/null
                or test "$rest" = -
                or set rest (string replace wrapped- '' -- $found[1]):
            case '*'
                break
        end
    end
    if test "$rest" = -
        set -a layers (string split ' ' -- (__wsbridge_scheme -)[2])
    end
    if not set -q layers[1]
        for line in $__wsbridge_schemes
            set -l fields (string split \t -- $line)
            set -a layers (string split ' ' -- $fields[3])
        end
    end
    printf '%s\n' $layers
end

# The value of --option: left.KEY=VALUE.
function __wsbridge_side --argument-names text
    set -l parts (string split -m 1 . -- $text)
    switch $text
        case 'left.*'
            __wsbridge_keys left. $parts[2] (__wsbridge_layers "$argv[2]")
        case 'right.*'
            __wsbridge_keys right. $parts[2] (__wsbridge_layers "$argv[3]")
        case '*'
            __wsbridge_add left. 'An option of the left side'
            __wsbridge_add right. 'An option of the right side'
    end
end

# An address: layers of wrappers, then a core, then options.
function __wsbridge_address --argument-names whole
    set -l stem ''
    set -l rest $whole
    set -l place wrapped
    while string match -q 'wrapped*' -- $place
        set -l meant (string replace wrapped '' -- $place)
        set -l parts (string split -m 1 : -- $rest)
        set -l found
        if set -q parts[2]; and set found (__wsbridge_scheme $parts[1])
            set place $found[1]
            set stem $stem$parts[1]:
            set rest $parts[2]
        else if not string match -rq '[:,]' -- $rest
            for line in $__wsbridge_schemes
                set -l fields (string split \t -- $line)
                string match -q '=*' -- $fields[2]
                and continue
                # Bytes are what has a framing.
                test -z "$meant"
                or string match -q '* framing= *' -- " $fields[3] "
                and __wsbridge_add $stem$fields[1] $fields[4]
            end
            test "$meant" = -tcp
            and __wsbridge_hosts $stem :
            return
        else if string match -q -- '-tcp*' $meant
            set place nothing
            test "$meant" = -tcp
            and set place host
        else
            return
        end
    end
    set -l layers (__wsbridge_layers $whole)
    switch $place
        case raw
            return
        case program
            for name in (complete -C "$rest" | string replace -r '\t.*' '')
                __wsbridge_add $stem$name
            end
            return
    end
    if string match -q '//*' -- $rest
        set -l parts (string match -r '^([^#]*#(?:.*,)?)(.*)$' -- $rest)
        if set -q parts[3]
            __wsbridge_keys $stem$parts[2] $parts[3] $layers
        else if not string match -rq '^//.*[/:?@]' -- $rest
            if test $place = url
                # Two of each, or else fish would put a blank behind the only one.
                __wsbridge_hosts $stem// / :
            else
                __wsbridge_hosts $stem// :
            end
        end
        return
    else if test $place = url
        __wsbridge_add $stem//
        return
    end
    # The last comma that is none of the place itself.
    set -l parts (string match -r '^(.*(?<!\\\\),)(.*)$' -- $rest)
    if set -q parts[3]
        __wsbridge_keys $stem$parts[2] $parts[3] $layers
    else if test $place = path
        __wsbridge_files $stem $rest
    else if test $place = host; and not string match -q '*:*' -- $rest
        __wsbridge_hosts $stem :
    end
end

function __wsbridge_complete
    set -l tokens (commandline -opc)
    set -l word (string replace -r '^[\'"]' '' -- (commandline -ct) | string replace -ra '\\\\(.)' '$1')
    set -g __wsbridge_word "$word"
    set -l places
    set -l flag
    for token in $tokens[2..]
        if test -n "$flag"
            set flag
        else if test "$token" = --
            complete -C (string replace -r '^.*?\s--\s+' '' -- (commandline -pc))
            return
        else if string match -q -- '--*=*' $token
            continue
        else if string match -q -- '-?*' $token
            switch (__wsbridge_kind $token)
                case any file 'file *' side 'words *'
                    set flag $token
            end
        else
            set -a places $token
        end
    end

    if test -n "$flag"
        __wsbridge_value '' (__wsbridge_kind $flag) "$word" $places
    else if string match -q -- '--*=*' $word
        set -l parts (string split -m 1 = -- $word)
        set -l kind (__wsbridge_kind $parts[1] | string replace 'optional ' '')
        __wsbridge_value "$parts[1]=" $kind "$parts[2]" $places
    else if string match -q -- '-*' $word
        __wsbridge_add - 'Use standard input and output'
        __wsbridge_add -- 'The right side is this program'
        for line in $__wsbridge_options
            set -l fields (string split \t -- $line)
            test $fields[2] = =
            or __wsbridge_add --$fields[1] $fields[4]
        end
    else if test "$places[1]" = help
        set -q places[2]
        or printf '%s\n' $__wsbridge_topics
    else if test "$places[1]" = doctor; or not set -q places[2]
        if not set -q places[1]
            __wsbridge_add help 'Show a page of help'
            __wsbridge_add doctor 'See how far one gets to an endpoint'
        end
        __wsbridge_address "$word"
    end
end

complete -c wsbridge -e
complete -c wsbridge -f -a '(__wsbridge_complete)'
