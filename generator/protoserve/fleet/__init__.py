"""Many projects of one template: which they are, where they stand, and bringing them to another version together.

What their repositories contain is data of others. Nothing of a project is executed unless its template is among those
that `fleet.yaml` trusts.
"""
