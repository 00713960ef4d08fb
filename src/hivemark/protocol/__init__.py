"""What a third party needs to verify Hivemark: keys, canonical bytes, statements, bundles.

Pure functions on bytes and values (`keyfile` alone touches the disk). No clock, network or database; what a
log is belongs to `translog`, what a job may do next to `jobs`. Import the modules by name.
"""
