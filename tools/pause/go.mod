module statefulroute.io/deploy/local/pause

go 1.26.0
