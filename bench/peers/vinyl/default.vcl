# Nothing set besides the origin: its rules are those that come with it.
vcl 4.1;
backend origin { .host = "127.0.0.1"; .port = "@ORIGIN@"; }
