.PHONY: setup check test bench docs

setup:  ## install the package with everything that development needs
	python -m pip install -e ".[gpu,test,check]"

check:  ## style and types
	ruff check . && ruff format --check blackbox adapters plugins && mypy && python docs/generate.py --check

test:  ## the README's test command, then the long tests
	python -m pytest && python -m pytest -m slow

bench:  ## regenerate the benchmark tables
	python benchmarks/overhead.py

docs:  ## regenerate the generated documents
	python docs/generate.py
