"""Pictures and the HTML page, made from an Explanation or an Audit."""
