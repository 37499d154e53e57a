# One of Pacemaker's tools on one node: remembers its arguments, and asks the test, which has the cluster. ROOT, CALLS and NODE
# are set above.
tool=${0##*/}
line=$tool
for argument; do line="$line	$argument"; done
printf '%s\n' "$line" >>"$CALLS"
me=$ROOT/$$
case " $* " in
*' -p '* | *' --xml-pipe '*) cat >"$me.in" ;;
esac
mkfifo "$me.back"
printf '%s\t%s\t%s\n' "$$" "$NODE" "$line" >"$ROOT/orders"
read -r code delay <"$me.back"
case $delay in
'') ;;
ever) exec sleep 100000 ;;
*) sleep "$delay" ;;
esac
if [ "$code" = 0 ]; then cat "$me.out"; else cat "$me.out" >&2; fi
exit "$code"
