#!/usr/bin/perl
# What holds replies against docs/openapi.json catches those that are wrong.
use strict;
use warnings;
use FindBin;

chdir "$FindBin::Bin/../.." or die $!;
exec '/usr/bin/python3', '-B', 't/contract/mutations.py' or die "python3: $!";
