"""The office: write and hash what an audit found."""
