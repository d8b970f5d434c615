"""The policy of a template: which answers, edits of template files and contracts its team allows.

`load` reads `policy.yaml` beside a template's copier.yml; the `Policy` judges, and each `Violation` has its own words,
which are the same wherever it is reported. docs/policy.md describes the file.
"""

from protoserve.policy.load import FILE as FILE
from protoserve.policy.load import PolicyError as PolicyError
from protoserve.policy.load import load as load
from protoserve.policy.model import NotAllowedError as NotAllowedError
from protoserve.policy.model import Policy as Policy
from protoserve.policy.model import PolicyException as PolicyException
from protoserve.policy.model import Violation as Violation
