# title: ls, stat, find, cp, mv, du, chmod, tar and rm over a directory
set -e
mkdir -p a/b/c
echo text > a/b/file
ln -s b/file a/link
ls > /dev/null
ls / /usr /tmp > /dev/null
ls -laR a > listing
grep -q file listing
stat a/b/file > /dev/null
[ "$(stat -c %s a/b/file)" = 5 ]
[ "$(find a -type f | wc -l)" = 1 ]
cp -r a copy
mv copy moved
du -s moved > /dev/null
df . > /dev/null
chmod -R u+rwX moved
tar cf - moved | tar tf - > /dev/null
readlink -f moved/link > /dev/null
test moved/b/file -nt /usr || true
rm -r moved
[ ! -e moved ]
echo WORKS
