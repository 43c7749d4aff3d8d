f=$1; shift
d=$(mktemp -d); cp $f $d/m.pml; cd $d
spin "$@" -a m.pml > spin.out 2>&1 || { cat spin.out; exit 2; }
gcc -O2 -DSAFETY -DCOLLAPSE -DNOREDUCE -DMEMLIM=3000 -o pan pan.c 2>&1 | grep -i error
timeout 300 ./pan -E -m200000 -w22 > out 2>&1
grep -E "errors:|assertion|states, stored|depth reached|elapsed|error" out | head
if ls *.trail >/dev/null 2>&1; then echo TRAIL $d; fi
