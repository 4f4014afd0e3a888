#!/usr/bin/perl
# The schemas of tools mean here what they mean to others: python3-jsonschema is asked the same.
use strict;
use warnings;
use FindBin;

chdir "$FindBin::Bin/../.." or die $!;
my $variant = $ENV{SANDBOX_VARIANT} || 'release';
exec 't/contract/schemas.py', "build/$variant/t/tool/schema" or die "t/contract/schemas.py: $!";
