#!/usr/bin/perl
# The page at /docs in a real browser: it lists every route of openapi.json, and its policy forbids nothing it needs.
use strict;
use warnings;
use lib 't/lib';
use Sandbox;
use Test::More;

my $t = Sandbox->new;
$t->start_gateway;
my $home = "$t->{dir}/tmp/browser";

# What is there when its script is through, and what the console says.
sub browse {
    my ($path) = @_;
    my @command = ('timeout', '90', 'chromium', '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--enable-logging=stderr', "--user-data-dir=$home",
                   '--virtual-time-budget=5000', '--dump-dom', $t->url . $path);
    my $log = "$t->{dir}/logs/browser.txt";
    my $pid = open(my $in, '-|') // die $!;
    if (!$pid) {
        open STDERR, '>', $log;
        $ENV{HOME} = $t->{dir};
        exec @command or POSIX::_exit(127);
    }
    my $dom = do { local $/; <$in> } // '';
    close $in;
    return ($dom, join '', grep { /CONSOLE/ } split /^/, Sandbox::_slurp($log));
}

my ($dom, $console) = browse('/docs');
is($console, '', 'the console has nothing to say');
my $document = JSON::PP->new->utf8->decode(Sandbox::_slurp("$Sandbox::ROOT/docs/openapi.json"));
my @missing;
for my $path (sort keys %{ $document->{paths} }) {
    for my $operation (grep { !$_->{'x-internal'} } values %{ $document->{paths}{$path} }) {
        push @missing, $operation->{operationId} unless $dom =~ /<details id="\Q$operation->{operationId}\E"/;
    }
}
is_deeply(\@missing, [], 'each operation is listed');
is_deeply([grep { $dom !~ /<details id="schema-\Q$_\E"/ } sort keys %{ $document->{components}{schemas} }], [], 'and each schema');
like($dom, qr{<h1 id="title">\Q$document->{info}{title}\E</h1>}, 'under its title');

($dom, $console) = browse('/docs#runJob');
is($console, '', 'a link into it');
my ($details) = $dom =~ m{(<details id="runJob".*?)<details id="(?!schema-)\w+"}s;
like($details // '', qr{<details id="runJob"[^>]* open}, 'opens what it names');
like($details // '', qr{curl -s -X POST .*Authorization: Bearer \$TOKEN}s, 'with a line to try it');
like($details // '', qr{<a href="#schema-JobRequest">JobRequest</a>}, 'and links to its schemas');
$t->finish;
done_testing();
