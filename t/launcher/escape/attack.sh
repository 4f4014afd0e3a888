# What the corpus' shell programs share.
held() { echo "HELD $*"; exit 0; }
escaped() { echo "ESCAPED $*"; exit 0; }
