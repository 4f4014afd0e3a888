# title: leave files in the root, /etc, /opt or /home, where the next sandbox of the template would find them
# wall: read_only_root landlock
. ./attack.sh
for dir in / /etc /opt /opt/sandbox /opt/sandbox/drivers /home /root /var /mnt /usr /usr/local /usr/local/bin /usr/lib /bin /run /proc /dev; do
    if (: > "$dir/left-behind") 2>/dev/null; then rm -f "$dir/left-behind"; escaped "a file in $dir"; fi
    if mkdir "$dir/left.d" 2>/dev/null; then rmdir "$dir/left.d"; escaped "a directory in $dir"; fi
done
held "no directory takes a file"
