module breakwater.dev/examples/quickstart/origin

go 1.24
