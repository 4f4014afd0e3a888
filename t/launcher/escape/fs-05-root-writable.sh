# title: leave files in the root, /etc, /opt or /home, where the next sandbox of the template would find them
# wall: read_only_root landlock
# gvisor: read_only_root
. ./attack.sh
for dir in / /etc /opt /opt/sandbox /opt/sandbox/drivers /home /root /var /mnt /usr /usr/local /usr/local/bin /usr/lib /bin /run /proc /dev; do
    if (: > "$dir/tried") 2>/dev/null; then rm -f "$dir/tried"; escaped "a file in $dir"; fi
    if mkdir "$dir/tried.d" 2>/dev/null; then rmdir "$dir/tried.d"; escaped "a directory in $dir"; fi
done
held "no directory takes a file"
