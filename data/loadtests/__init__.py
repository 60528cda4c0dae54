"""Result files of load-test tools, read into one record (data.loadtests.records.LoadTest)."""
