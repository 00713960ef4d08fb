"""The HTTP shell: reading and writing of docs/spec/http.md around the services, never around the store."""
