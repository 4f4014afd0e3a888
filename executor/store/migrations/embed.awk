# Makes migrations.c out of NNN_name.sql files given in order:
#   awk -f embed.awk 001_x.sql 002_y.sql > migrations.c
BEGIN {
    print "/* Made by embed.awk; the sources are executor/store/migrations. */"
    print "#include \"executor/store/migrations.h\"\n"
    print "const struct migration migrations[] = {"
}
FNR == 1 {
    if (n++) {
        print "    },"
    }
    base = FILENAME
    sub(/^.*\//, "", base)
    if (base !~ /^[0-9][0-9][0-9]_[a-z0-9_]+\.sql$/ || base + 0 != n) {
        print "embed.awk: " FILENAME ": names are NNN_name.sql, numbered from 001 without a gap" > "/dev/stderr"
        failed = 1
        exit 1
    }
    name = substr(base, 5, length(base) - 8)
    printf "    {\n        .number = %d,\n        .name = \"%s\",\n        .sql =\n", n, name
}
/[\\"]/ {
    print "embed.awk: " FILENAME ":" FNR ": no backslash and no double quote" > "/dev/stderr"
    failed = 1
    exit 1
}
{
    print "            \"" $0 "\\n\""
}
END {
    if (!failed) {
        if (n) {
            print "    },"
        }
        print "};\n"
        print "const unsigned n_migrations = " n + 0 ";"
    }
}
