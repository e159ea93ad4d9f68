"""The generalisation benchmark: suites fixed in advance, runs that resume, results that anyone can run again."""
