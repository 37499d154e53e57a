# Any command-line tool: remembers its arguments, then does what the test wrote down for it. ROOT is set above.
tool=${0##*/}

# One line per call, written at once: the tool and its arguments, with tabs between them.
line=$tool
for argument; do
    case $argument in
    *[!" "-~]* | *\\*)
        argument=$(printf '%s.' "$argument" |
            sed -e 's/\\/\\\\/g' -e 's/\t/\\t/g' -e '$!s/$/\\n/' | tr -d '\n')
        argument=${argument%.}
        ;;
    esac
    line="$line	$argument"
done
printf '%s\n' "$line" >>"$ROOT/calls"

# What is arranged for this call: for the first argument that has something, else for any call.
arranged() { # PREFIX, ARGUMENTS
    prefix=$1
    shift
    for word; do
        word=${word#-}
        word=${word#-}
        word=${word%%=*}
        case $word in '' | */*) continue ;; esac
        if [ -e "$prefix$word" ]; then
            printf '%s' "$prefix$word"
            return
        fi
    done
    if [ -e "${prefix}_" ]; then printf '%s' "${prefix}_"; fi
}

answers=$(arranged "$ROOT/answers/$tool-" "$@")
if [ -z "$answers" ]; then
    echo "fake $tool: nothing is arranged for: $*" >&2
    exit 99
fi

# One answer for one call after another; the last one stays.
answer=
for next in "$answers"/*; do
    if [ -n "$answer" ]; then
        mv "$answer" "$ROOT/given-$$"
        answer=$ROOT/given-$$
        break
    fi
    answer=$next
done

case " $* " in
*' -p '* | *' --xml-pipe '*) cat >>"$ROOT/stdin-$tool" ;;
esac
if [ -e "$answer/delay" ]; then
    read -r delay <"$answer/delay"
    if [ "$delay" = ever ]; then exec sleep 100000; fi
    sleep "$delay"
fi
hook=$(arranged "$ROOT/on-$tool-" "$@")
read -r code <"$answer/code"
if [ -n "$hook" ]; then
    CODE=$code sh -e "$hook" "$@" || echo "fake $tool: $hook failed" >>"$ROOT/broken"
fi
cat "$answer/stdout"
cat "$answer/stderr" >&2
exit "$code"
