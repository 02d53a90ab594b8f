import sys

from cozystack.flux.main import main

sys.exit(main())
