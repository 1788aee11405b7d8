# transfer_nc.sh take|take-tree|give|give-tree PORT PATH: files through nc, which checks nothing.
case $1 in
take) exec nc -l 127.0.0.1 "$2" >"$3/file" ;;
take-tree) nc -l 127.0.0.1 "$2" | tar -x -C "$3" ;;
give) exec nc -N 127.0.0.1 "$2" <"$3" ;;
give-tree) tar -c -C "$3" . | nc -N 127.0.0.1 "$2" ;;
esac
